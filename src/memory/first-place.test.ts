import { expect, test } from "vitest";
import { firstPlace } from "./first-place.js";

test("the first place is found, also where there is none", () => {
  for (const count of [0, 1, 2, 7, 8]) {
    for (let wanted = 0; wanted <= count; wanted++) {
      expect(firstPlace(count, (place) => place >= wanted)).toBe(wanted);
    }
  }
});
