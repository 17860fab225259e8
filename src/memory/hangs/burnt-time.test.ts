import { expect, test } from "vitest";
import { BurntTime } from "./burnt-time.js";

test("what a CPU takes without a change adds up, and a change begins anew", () => {
  const burnt = new BurntTime();
  expect(burnt.look(1n, 100n)).toBe(0n);
  expect(burnt.look(1n, 150n)).toBe(50n);
  expect(burnt.look(1n, 150n), "a pause takes nothing").toBe(50n);
  expect(burnt.look(2n, 190n)).toBe(0n);
  expect(burnt.look(2n, 200n)).toBe(10n);
});

test("of what isn't known nothing is said, nor of a thread that is another's", () => {
  const burnt = new BurntTime();
  burnt.look(1n, 100n);
  expect(burnt.look(undefined, 900n)).toBe(0n);
  expect(burnt.look(1n, 1000n)).toBe(0n);
  expect(burnt.look(1n, undefined)).toBe(0n);
  expect(burnt.look(1n, 2000n)).toBe(0n);
  expect(burnt.look(1n, 5n)).toBe(0n);
});
