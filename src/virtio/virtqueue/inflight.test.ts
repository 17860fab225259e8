import fc from "fast-check";
import { expect, test } from "vitest";
import { InflightRegion, inflightBytes } from "./inflight.js";

const SIZE = 64;

test("vhost-user, inflight: what was taken comes again in the order of its counters, and what is taken then behind it", () => {
  const counter = fc.oneof(fc.bigInt(0n, 100n), fc.bigInt(0n, (1n << 49n) - 2n));
  const marked = fc.uniqueArray(fc.tuple(fc.nat(SIZE - 1), counter), {
    selector: ([head]) => head,
  });
  fc.assert(
    fc.property(marked, (entries) => {
      const memory = new ArrayBuffer(64 + inflightBytes(SIZE));
      const view = new DataView(memory, 64);
      for (const [head, value] of entries) {
        view.setUint8(16 + 16 * head, 1);
        view.setBigUint64(24 + 16 * head, value, true);
      }
      const region = new InflightRegion(memory, 64, SIZE);
      expect(region.recover(0)).toBe(entries.length);
      const heads = [...region.heads()];
      const byCounter = [...entries].sort(([a, x], [b, y]) => (x === y ? a - b : x < y ? -1 : 1));
      expect(heads).toEqual(byCounter.map(([head]) => head));
      const free = Array.from({ length: SIZE }, (_, i) => i).find((i) => !heads.includes(i));
      if (free === undefined) return;
      region.take(free);
      const again = new InflightRegion(memory, 64, SIZE).heads();
      expect([...again]).toEqual([...heads, free]);
    }),
  );
});
