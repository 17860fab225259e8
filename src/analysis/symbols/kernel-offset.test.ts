import { expect, test } from "vitest";
import { kernelOffset } from "./kernel-offset.js";

test.each([
  [
    "<0>[ 1.0] Kernel Offset: 0x1c000000 from 0xffffffff81000000 (relocation range: …)",
    0x1c000000n,
  ],
  ["Kernel Offset: 0x2a3f1c600000 from 0xffff800080000000", 0x2a3f1c600000n],
  ["Kernel Offset: disabled", 0n],
  ["Command line: quiet nokaslr", 0n],
  ["Kernel panic - not syncing", undefined],
])("%s", (line, offset) => {
  expect(kernelOffset([Buffer.from("first\n"), Buffer.from(`${line}\n`)])).toBe(offset);
});
