import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { encodeStore, type TestRecord } from "../../../test/support/erst-records.js";
import { RateLimiter } from "../../store/index.js";
import { HEADER_BYTES } from "./cper.js";
import { ErstFile } from "./erst-file.js";
import { type ReadSlot, SlotWatch } from "./slot-watch.js";

const RECORD_SIZE = 8192;

const record = (id: number): TestRecord => ({ id: BigInt(id), body: Buffer.from(`record ${id}`) });

function setUp(ids: readonly number[], requests = { perSecond: 1, burst: 1000 }) {
  const folder = mkdtempSync(join(tmpdir(), "virtio-pstore-erst-"));
  const path = join(folder, "erst");
  let nowMs = 1;
  const taken = new Set<string>();
  const limiter = new RateLimiter(
    { dmesg: { bytes: undefined, requests } },
    undefined,
    () => nowMs,
  );
  const watch = new SlotWatch(path, limiter, (key) => taken.has(key));
  const read = vi.spyOn(ErstFile.prototype, "read");
  onTestFinished(() => {
    read.mockRestore();
    rmSync(folder, { recursive: true, force: true });
  });
  const put = (...now: readonly number[]) => {
    writeFileSync(path, encodeStore({ fileBytes: 1 << 20, records: now.map(record) }));
  };
  put(...ids);
  return {
    path,
    watch,
    taken,
    put,
    wait: (ms: number) => {
      nowMs += ms;
    },
    /** A look that takes everything, or nothing: the ids that it was offered, and what it left. */
    look: (take: boolean) => {
      const offered: number[] = [];
      const left = watch.look(({ id, key }: ReadSlot) => {
        offered.push(Number(id));
        if (take) taken.add(key);
        return take;
      });
      return { offered, ...left };
    },
    /** How often records were read in whole since the last call: what is new twice. */
    reads: () => {
      const whole = read.mock.calls.filter(([, , to]) => to !== HEADER_BYTES).length;
      read.mockClear();
      return whole;
    },
  };
}

test("of slots that are as they were, one is read with each look", () => {
  const { look, reads } = setUp([1, 2, 3, 4, 5]);
  look(true);
  expect(reads()).toBe(10);
  expect(look(true)).toEqual({ offered: [], late: 0, busy: 0 });
  expect(reads()).toBe(1);
});

test("what was refused is offered again in turn, and at once where one of it was taken", () => {
  const { look, reads } = setUp([1, 2, 3, 4]);
  expect(look(false).offered).toEqual([1, 2, 3, 4]);
  reads();
  const turns = [look(false), look(false), look(false), look(false)];
  expect(turns.flatMap(({ offered }) => offered).sort()).toEqual([1, 2, 3, 4]);
  expect(reads()).toBe(8);
  expect(look(true).offered).toHaveLength(1);
  expect(look(false).offered).toHaveLength(3);
  expect(look(false).offered).toHaveLength(1);
});

test("damaged slots cost the guest as records do, are told when they stay so, and then are left", () => {
  const { path, look, put, reads } = setUp([], { perSecond: 1, burst: 3 });
  expect(look(false)).toEqual({ offered: [], late: 0, busy: 0 });
  const junk = (first: number) => {
    put(first, first + 1);
    writeFileSync(path, readFileSync(path).fill(0, RECORD_SIZE));
  };
  junk(1);
  expect(look(false)).toEqual({ offered: [], late: 0, busy: 2 });
  expect(look(false)).toEqual({ offered: [1], late: 1, busy: 0 });
  reads();
  junk(3);
  expect(look(false)).toEqual({ offered: [], late: 2, busy: 0 });
  expect(reads()).toBe(0);
});

test("what waits is read when the rate allows it, the lowest id first", () => {
  const { look, put, wait } = setUp([], { perSecond: 1, burst: 2 });
  look(true);
  put(9, 7, 8, 6);
  expect(look(true)).toEqual({ offered: [6, 7], late: 2, busy: 0 });
  wait(1000);
  expect(look(true)).toEqual({ offered: [8], late: 1, busy: 0 });
});

test("what was taken before this process began is read at any rate", () => {
  const { path, look, taken, put } = setUp([1, 2, 3], { perSecond: 1, burst: 3 });
  look(true);
  put(1, 2, 3, 4);
  const limiter = new RateLimiter({
    dmesg: { bytes: undefined, requests: { perSecond: 1, burst: 1 } },
  });
  const next = new SlotWatch(path, limiter, (key) => taken.has(key));
  const offered: bigint[] = [];
  expect(next.look(({ id }) => offered.push(id) > 0)).toEqual({ late: 0, busy: 0 });
  expect(offered).toEqual([4n]);
});

test("of records that have left the file nothing is kept", () => {
  const { watch, look, put } = setUp([1]);
  for (let id = 2; id < 50; id++) {
    look(id % 2 === 0);
    put(id);
  }
  look(true);
  expect(watch.keys).toHaveLength(1);
});
