import { describe, expect, test } from "vitest";
import { memoryOf, tinyKernel } from "../../test/support/tiny-kernel.js";
import { openKernel } from "./kernel/index.js";
import { KernelLog, logText } from "./log.js";
import { findLogRing } from "./log-ring.js";

const text = (log: KernelLog | undefined) =>
  log && Buffer.concat([...logText(log.entries())].map((part) => Buffer.from(part))).toString();

describe("a log's ring without VMCOREINFO", () => {
  test.each([
    ["that has room", 3],
    ["that came round", 30],
  ])("%s is found and read as with it", (_, count) => {
    const messages = Array.from({ length: count }, (_, i) => `message ${i}`);
    const { memory } = tinyKernel({ messages });
    const undescribed = tinyKernel({ messages, undescribed: true }).memory;
    expect(text(findLogRing(undescribed))).toBe(text(new KernelLog(openKernel(memory))));
  });

  test("of two the one with more messages", () => {
    const [two, three] = [2, 3].map(
      (count) =>
        tinyKernel({
          undescribed: true,
          messages: Array.from({ length: count }, (_, i) => `m${i}`),
        }).bytes,
    );
    for (const both of [
      [two, three],
      [three, two],
    ]) {
      const memory = memoryOf(Buffer.concat(both as Buffer[]));
      expect(findLogRing(memory)?.end).toBe(3n);
    }
  });

  test("there is none in zeros, nor where prb, the infos or the text lie elsewhere", () => {
    expect(findLogRing(memoryOf(Buffer.alloc(1 << 20)))).toBeUndefined();
    for (const name of ["prb", "infos", "descs"]) {
      const { bytes, memory, places } = tinyKernel({ undescribed: true });
      const { at, size } = places.get(name) ?? { at: 0, size: 0 };
      bytes.fill(0, at, at + size);
      expect(findLogRing(memory), name).toBeUndefined();
    }
  });

  test("rings that lead astray cost little, and are none", () => {
    const bytes = Buffer.alloc(8 << 20);
    for (let at = 0; at + 64 <= bytes.length; at += 64) {
      const ring = [
        17n,
        0xffffffff81000040n,
        0xffffffff81000080n,
        20n,
        1n,
        17n,
        0xffffffff81000000n,
      ];
      for (const [i, word] of ring.entries()) bytes.writeBigUInt64LE(word, at + i * 8);
    }
    const memory = memoryOf(bytes);
    let reads = 0;
    const counted = {
      ...memory,
      read: (at: number, into: Buffer) => {
        reads++;
        return memory.read(at, into);
      },
    };
    expect(findLogRing(counted)).toBeUndefined();
    // A call may cost a second: 10 us each.
    expect(reads).toBeLessThan(100_100);
  });
});
