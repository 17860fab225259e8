import { expect, test } from "vitest";
import { type Backing, MappedMemory } from "./mapped-memory.js";

test("of memory in many pieces of one file, the file is asked once where it holds anything", () => {
  const asked: [number, number][] = [];
  const backing: Backing = {
    data: (at, size) => {
      asked.push([at, size]);
      return [
        { start: 4096, size: 4096 },
        { start: 12288, size: 8192 },
      ];
    },
    read: () => undefined,
  };
  const piece = (start: number, at: number) => ({ start, size: 8192, backing, at });
  const memory = new MappedMemory(
    [piece(65536, 0), piece(0, 8192), piece(1 << 20, 16384)],
    () => {},
  );
  expect(memory.extents()).toEqual([
    { start: 4096, size: 4096 },
    { start: 65536 + 4096, size: 4096 },
    { start: 1 << 20, size: 4096 },
  ]);
  expect(asked).toEqual([[0, 24576]]);
});

test("memory in 65,536 pieces is found in some twenty looks", () => {
  let looks = 0;
  const backing: Backing = {
    data: () => [],
    read: (at, into) => {
      into.fill(at);
    },
  };
  const pieces = Array.from({ length: 65_536 }, (_, i) => ({
    get start() {
      looks++;
      return i * 8192;
    },
    ...{ size: 4096, backing, at: i },
  }));
  const memory = new MappedMemory(pieces, () => undefined);
  looks = 0;
  const into = Buffer.alloc(2);
  expect(memory.read(65_535 * 8192, into)).toBe(2);
  expect(into[0]).toBe(0xff);
  expect(memory.read(65_535 * 8192 + 4095, into)).toBe(1);
  expect(memory.read(65_535 * 8192 + 4096, into)).toBe(0);
  expect(memory.read(4096, into)).toBe(0);
  expect(looks).toBeLessThan(200);
});
