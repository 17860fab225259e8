import { expect, test } from "vitest";
import { Newest } from "./newest.js";

test("the newest are kept, by their number", () => {
  const newest = new Newest<number>(3);
  expect(newest.list).toEqual([]);
  for (let i = 0; i < 1000; i++) {
    newest.add(i);
    expect(newest.list).toEqual([i - 2, i - 1, i].filter((one) => one >= 0));
    expect(newest.leftOut).toBe(Math.max(0, i - 2));
  }
});

test("the newest are kept, by what they weigh; the last one in any case", () => {
  const newest = new Newest<string>(10, ({ length }) => length);
  for (const text of ["aaaa", "bbbb", "cc"]) newest.add(text);
  expect(newest.list).toEqual(["aaaa", "bbbb", "cc"]);
  newest.add("d");
  expect(newest.list).toEqual(["bbbb", "cc", "d"]);
  newest.add("longer than all");
  expect(newest.list).toEqual(["longer than all"]);
  newest.add("e");
  expect(newest.list).toEqual(["e"]);
  expect(newest.leftOut).toBe(5);
});
