import { expect, test } from "vitest";
import { partsUpTo } from "./extents.js";

test("memory in too many parts is some parts and a rest, and no more of them are asked for", () => {
  let asked = 0;
  function* parts() {
    for (let start = 0; ; start += 8192) {
      asked++;
      yield { start, size: 4096 };
    }
  }
  expect(partsUpTo(parts(), 2 ** 40, 2)).toEqual([
    { start: 0, size: 4096 },
    { start: 8192, size: 4096 },
    { start: 16384, size: 2 ** 40 - 16384 },
  ]);
  expect(asked).toBe(3);
  expect(partsUpTo([{ start: 0, size: 1 }], 10, 2)).toEqual([{ start: 0, size: 1 }]);
});
