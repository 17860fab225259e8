import { describe, expect, it, test } from "vitest";
import { readFacts } from "./index.js";

const facts = (text: string) => readFacts(text.trim().split("\n"));

test("what user space wrote to /dev/kmsg announces nothing", () => {
  const text = `
<12>[   10.000001] init[1]: Kernel panic - not syncing: so they say
<4>[   10.000002] BUG: kernel NULL pointer dereference, address: 0
<30>[   10.000003] RIP: 0010:nobody+0x1/0x2
<4>[   10.000003] RIP: 0010:foo_write+0x1/0x2
`;
  expect(facts(text).title).toMatch(/^BUG: .*NULL pointer dereference in foo_write$/);
});

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
