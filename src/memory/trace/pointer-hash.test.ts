import { expect, test } from "vitest";
import { pointerHash } from "./pointer-hash.js";

test("SipHash-2-4 of 8 bytes: its authors' test vector", () => {
  const key = Buffer.from("000102030405060708090a0b0c0d0e0f", "hex");
  // vectors_sip64[8] is 62 24 93 9a 79 f5 f5 93; a hashed pointer is its low half.
  expect(pointerHash(0x0706050403020100n, key)).toBe(0x9a932462);
});
