import { deflateSync } from "node:zlib";
import { expect, test } from "vitest";
import { memoryOf, tinyKernel } from "../../test/support/tiny-kernel.js";
import { MemoryError } from "./errors.js";
import { openKernel } from "./kernel/index.js";
import { looksEncrypted } from "./looks-encrypted.js";

const PAGE = 4096;
const PAGES = 128;

/** As encrypted memory is: any key does. */
function noise(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

test("memory that is noise looks encrypted, also with pages that nothing was written to", () => {
  const bytes = noise(PAGES * PAGE);
  expect(looksEncrypted(memoryOf(bytes))).toBe(true);
  bytes.fill(0, 0, (PAGES / 2) * PAGE);
  expect(looksEncrypted(memoryOf(bytes))).toBe(true);
  let code: unknown;
  try {
    openKernel(memoryOf(bytes));
  } catch (error) {
    if (error instanceof MemoryError) code = error.code;
  }
  expect(code).toBe("ENCRYPTED");
});

test("a compressed file looks the same, and the message names both", () => {
  const text = noise(PAGES * PAGE).toString("base64");
  const packed = deflateSync(text);
  expect(packed.length).toBeLessThan(text.length);
  expect(looksEncrypted(memoryOf(packed))).toBe(true);
  expect(() => openKernel(memoryOf(packed))).toThrow(
    "looks encrypted or compressed: it is a guest's with SEV or TDX, or no guest's memory at all",
  );
});

test("plain memory doesn't, nor one of which most is compressed, nor a few pages of noise", () => {
  expect(looksEncrypted(memoryOf(Buffer.alloc(PAGES * PAGE)))).toBe(false);
  expect(looksEncrypted(tinyKernel().memory)).toBe(false);
  const files = Buffer.concat([Buffer.alloc(16 * PAGE, "text"), noise(PAGES * PAGE)]);
  expect(looksEncrypted(memoryOf(files))).toBe(false);
  const few = Buffer.concat([noise(4 * PAGE), Buffer.alloc(PAGES * PAGE)]);
  expect(looksEncrypted(memoryOf(few))).toBe(false);
  const packed = deflateSync(noise(PAGES * PAGE));
  expect(looksEncrypted(memoryOf(Buffer.concat([packed, Buffer.alloc(8 * PAGE, "x")])))).toBe(
    false,
  );
});
