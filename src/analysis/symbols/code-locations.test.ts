import { describe, expect, test } from "vitest";
import { type CodeLocation, locationsIn } from "./code-locations.js";

const shown = (location: CodeLocation) =>
  location.kind === "address"
    ? `0x${location.address.toString(16)}${location.isReturn ? " return" : ""}`
    : `${location.symbol} ${location.offset}/${location.size} ${location.module ?? "-"}${location.isReturn ? " return" : ""}`;

describe("locationsIn", () => {
  test.each([
    ["RIP: 0010:foo+0x1f/0x40 [mod]", ["foo 31/64 mod"]],
    ["RIP: 0010:[<ffffffff81012345>]  [<ffffffff81012345>] foo+0x1/0x2", ["foo 1/2 -"]],
    ["IP: [<ffffffff81012345>] foo+0x16/0x20 [mod]", ["foo 22/32 mod"]],
    [" foo+0x1c/0x28 (P)", ["foo 28/40 -"]],
    [" foo+0x1c/0x28 [mod 0123456789abcdef] (PF)", ["foo 28/40 mod"]],
    [" foo+0x1c/0x28 (C)", ["foo 28/40 - return"]],
    [" 0xffffffff81012345 (P)", ["0xffffffff81012345"]],
    ["<4>[    1.000000]  ? foo.isra.0+0x1/0x20", ["foo.isra.0 1/32 - return"]],
    [" [<ffffffff81012345>] ? foo+0x1/0x20", ["foo 1/32 - return"]],
    [
      ` __die+0x1/0x2 [nf_tables ${"0123456789abcdef".repeat(2)}01234567]`,
      ["__die 1/2 nf_tables return"],
    ],
    ["pc : __lock+0x10/0x20", ["__lock 16/32 -"]],
    ["lr : foo+0x10/0x20 [m]", ["foo 16/32 m return"]],
    ["WARNING: CPU: 0 PID: 1 at a.c:2 foo+0x10/0x20", ["foo 16/32 -"]],
    ["Call trace:", []],
    ["foo+0x1f", []],
    ["RAX: ffffffff81012345 RBX: 0000000000000001", ["0xffffffff81012345"]],
    ["x29: ffff800008001234 x28: 1", ["0xffff800008001234"]],
    [" ? 0xffffffff81012345", ["0xffffffff81012345 return"]],
    ["RIP: 0010:0xffffffff81012345", ["0xffffffff81012345"]],
    [
      "Kernel Offset: 0x36c00000 from 0xffffffff81000000 (relocation range: 0xffffffff80000000-0x1)",
      [],
    ],
    ["deffffffff81012345 ffffffff810123456", []],
  ])("%s", (line, locations) => {
    expect(locationsIn(line).map(shown)).toEqual(locations);
  });

  test("says where they stand", () => {
    const line = "in foo+0x1/0x2 [mod] and bar+0x0/0x1.";
    const texts = locationsIn(line).map(({ start, end }) => line.slice(start, end));
    expect(texts).toEqual(["foo+0x1/0x2 [mod]", "bar+0x0/0x1"]);
  });
});
