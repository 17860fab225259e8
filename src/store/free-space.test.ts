import { expect, test } from "vitest";
import { type Files, systemFiles } from "./files.js";
import { FreeSpace, type MinFree } from "./free-space.js";

const MIB = 1 << 20;

/** A disk of 100 MiB in blocks of 4 KiB, and a clock. */
function disk(minFree: MinFree) {
  const state = { freeBytes: 100 * MIB, looks: 0, ms: 0 };
  const files: Files = {
    ...systemFiles,
    statfs: (path) => {
      state.looks++;
      const bavail = state.freeBytes / 4096;
      return { ...systemFiles.statfs(path), bavail, blocks: 25_600, bsize: 4096 };
    },
  };
  const free = new FreeSpace(files, minFree, () => state.ms);
  return { state, expect: (bytes: number) => () => free.expect("/", bytes) };
}

const refused = expect.objectContaining({ refusal: "FREE_SPACE", code: "ENOSPC" });

test("the lesser of a size and a share is left free", () => {
  for (const [minFree, most] of [
    [{ bytes: 10 * MIB, share: 1 }, 90],
    [{ bytes: 10 * MIB, share: 0.05 }, 95],
  ] as const) {
    const one = disk(minFree);
    expect(one.expect(most * MIB + 1)).toThrow(refused);
    expect(one.expect(most * MIB)).not.toThrow();
  }
});

test("where nothing is to be left nobody looks", () => {
  const { state, expect: wants } = disk({ bytes: 0, share: 1 });
  expect(wants(1000 * MIB)).not.toThrow();
  expect(state.looks).toBe(0);
});

test("what is written counts until the next look, and that comes when it may matter or after a second", () => {
  const { state, expect: wants } = disk({ bytes: 10 * MIB, share: 1 });
  for (let i = 0; i < 9; i++) wants(10 * MIB)();
  expect(state.looks).toBe(1);
  state.freeBytes = 10 * MIB;
  expect(wants(1)).toThrow(refused);
  expect(state.looks).toBe(2);
  state.freeBytes = 11 * MIB;
  wants(MIB)();
  expect(state.looks).toBe(3);
  state.ms += 1000;
  state.freeBytes = 5 * MIB;
  expect(wants(1)).toThrow(refused);
});
