import fc from "fast-check";
import { expect, test } from "vitest";
import { circles } from "./circles.js";

test("a circle is told once, and those that wait for one of it aren't in it", () => {
  const waits = new Map([
    ["outside", "a"],
    ["a", "b"],
    ["b", "c"],
    ["c", "a"],
    ["alone", "nobody"],
    ["self", "self"],
  ]);
  expect(circles(waits)).toEqual([["a", "b", "c"], ["self"]]);
});

test("each circle is one, and nobody is in two", () => {
  const waitsOf = fc.array(fc.tuple(fc.nat(20), fc.nat(20)), { maxLength: 30 });
  fc.assert(
    fc.property(waitsOf, (pairs) => {
      const waits = new Map(pairs);
      const found = circles(waits);
      for (const circle of found) {
        circle.forEach((one, i) => {
          expect(waits.get(one)).toBe(circle[(i + 1) % circle.length]);
        });
      }
      const members = found.flat();
      expect(new Set(members).size).toBe(members.length);
      // Whoever comes back to where they began is in one.
      for (const start of waits.keys()) {
        let at: number | undefined = start;
        for (let step = 0; step < 21 && at !== undefined; step++) at = waits.get(at);
        if (at !== undefined) expect(members).toContain(at);
      }
    }),
  );
});
