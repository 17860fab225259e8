import { expect, test } from "vitest";
import { AddressRanges } from "./address-ranges.js";

test("what is at an address is found; of ranges that overlap, the first has it", () => {
  const ranges = new AddressRanges([
    { start: 30n, end: 40n, value: "c" },
    { start: 10n, end: 20n, value: "a" },
    { start: 15n, end: 25n, value: "b" },
    { start: 16n, end: 18n, value: "inside" },
    { start: 50n, end: 50n, value: "empty" },
  ]);
  const at = [9n, 10n, 17n, 19n, 20n, 24n, 25n, 29n, 30n, 39n, 40n, 50n].map(
    (address) => ranges.at(address)?.value,
  );
  const none = undefined;
  expect(at).toEqual([none, "a", "a", "a", "b", "b", none, none, "c", "c", none, none]);
  expect(new AddressRanges([]).at(0n)).toBeUndefined();
});
