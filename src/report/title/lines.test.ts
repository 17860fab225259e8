import { describe, expect, it } from "vitest";
import { readFacts } from "./index.js";

const facts = (text: string) => readFacts(text.trim().split("\n"));

describe("where two messages stand in one line", () => {
  it("each is read", () => {
    const text = `
[   10.000001] foo: no answer [   10.000002] BUG: kernel NULL pointer dereference, address: 0
[   10.000003] RIP: 0010:foo_write+0x1/0x2
`;
    expect(facts(text).title).toMatch(/NULL pointer dereference in foo_write$/);
  });

  it("neither takes the other's words", () => {
    const text = "[   10.000001] BUG: foo is [   10.000002] bar: link is up";
    expect(facts(text).title).toBe("BUG: foo is");
  });
});
