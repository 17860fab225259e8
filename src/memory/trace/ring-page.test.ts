import { describe, expect, test } from "vitest";
import { decodePage, withoutRead } from "./ring-page.js";

const LAYOUT = { timeStamp: 0, commit: 8, data: 16 };

const word = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
};
const header = (type: number, delta: number): Buffer => word((delta << 5) | type);
const event = (text: string, delta: number): Buffer =>
  Buffer.concat([header(text.length / 4, delta), Buffer.from(text)]);

function page(data: readonly Buffer[], { time = 1000n, flags = 0, size = 0 } = {}): Buffer {
  const bytes = Buffer.concat(data);
  const whole = Buffer.alloc(4096);
  whole.writeBigUInt64LE(time, 0);
  whole.writeUInt32LE((flags + (size || bytes.length)) >>> 0, 8);
  bytes.copy(whole, 16);
  return whole;
}

const told = (bytes: Buffer, from = 0) =>
  decodePage(bytes, LAYOUT, from).events.map(({ time, offset, length }) => [
    time,
    bytes.toString("latin1", offset, offset + length),
  ]);

describe("a sub-buffer (include/linux/ring_buffer.h)", () => {
  test("data events: a length in the header, or in the word behind it", () => {
    const long = "x".repeat(200);
    const bytes = page([
      event("abcd", 5),
      Buffer.concat([header(0, 7), word(4 + long.length), Buffer.from(long)]),
      event("abcdefgh", 1),
    ]);
    expect(told(bytes)).toEqual([
      [1005n, "abcd"],
      [1012n, long],
      [1013n, "abcdefgh"],
    ]);
  });

  test("a time extend adds 59 bits", () => {
    const bytes = page([header(30, 3), word(2), event("abcd", 4)]);
    expect(told(bytes)).toEqual([[1000n + (2n << 27n) + 3n + 4n, "abcd"]]);
  });

  test("an absolute time stamp: its high bits are those of the time before", () => {
    const time = (1n << 59n) + 1000n;
    const stamp = [header(31, 9), word(1)];
    expect(told(page([...stamp, event("abcd", 1)]))).toEqual([[(1n << 27n) + 10n, "abcd"]]);
    expect(told(page([...stamp, event("abcd", 1)], { time }))).toEqual([
      [(1n << 59n) + (1n << 27n) + 10n, "abcd"],
    ]);
    const late = (1n << 59n) + (1n << 28n);
    expect(told(page([...stamp, event("abcd", 1)], { time: late }))).toEqual([
      [(2n << 59n) + (1n << 27n) + 10n, "abcd"],
    ]);
  });

  test("padding: a discarded event is left out, and its delta doesn't count; a null event ends it", () => {
    const discarded = Buffer.concat([header(29, 50), word(8), Buffer.alloc(4)]);
    const bytes = page([discarded, event("abcd", 1), header(29, 0), event("efgh", 1)]);
    expect(told(bytes)).toEqual([[1001n, "abcd"]]);
    expect(decodePage(bytes, LAYOUT).broken).toBeUndefined();
  });

  test("what isn't committed isn't there", () => {
    expect(told(page([event("abcd", 1), event("efgh", 1)], { size: 8 }))).toEqual([
      [1001n, "abcd"],
    ]);
  });

  test("events that were lost, and how many where that is stored", () => {
    const bytes = page([event("abcd", 1)], { flags: 0xc0000000 });
    bytes.writeBigUInt64LE(17n, 16 + 8);
    expect(decodePage(bytes, LAYOUT).missed).toEqual({ count: 17n });
    const unknown = page([event("abcd", 1)], { flags: 0x80000000 });
    expect(decodePage(unknown, LAYOUT).missed).toEqual({ count: undefined });
    expect(decodePage(page([event("abcd", 1)]), LAYOUT).missed).toBeUndefined();
  });

  test.each([
    ["a length beyond its end", [event("abcd", 1), header(28, 1)], "an event has 112 bytes"],
    ["a length that is too short", [event("abcd", 1), header(0, 1), word(2)], "an event has -2"],
    ["half a header", [event("abcd", 1), Buffer.alloc(2)], "header goes beyond"],
    ["a word that isn't there", [event("abcd", 1), header(0, 1)], "header goes beyond"],
  ])("%s ends it: what is before stays", (_, data, why) => {
    const decoded = decodePage(page(data), LAYOUT);
    expect(decoded.events).toHaveLength(1);
    expect(decoded.broken).toContain(why);
  });

  test("it can't hold more than there is room for", () => {
    const decoded = decodePage(page([event("abcd", 1)], { size: 0xfffff }), LAYOUT);
    expect(decoded.events[0]?.length).toBe(4);
    expect(decoded.broken).toBe("it says that it holds 1048575 bytes");
  });

  test("what a reader took is left out; the times of the rest stay", () => {
    const bytes = page([
      event("abcd", 1),
      header(30, 3),
      word(2),
      event("efgh", 4),
      event("ijkl", 5),
    ]);
    const rest = told(bytes).slice(1);
    expect(told(bytes, 8)).toEqual(rest);
    expect(told(withoutRead(bytes, LAYOUT, 8))).toEqual(rest);
    expect(told(withoutRead(bytes, LAYOUT, 24))).toEqual(rest.slice(1));
    expect(told(withoutRead(bytes, LAYOUT, 32))).toEqual([]);
  });
});
