import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { linePieces } from "./pieces.js";
import { printable } from "./printable.js";

const split = (...pieces: readonly (string | Uint8Array)[]) => [
  ...linePieces(pieces.map((piece) => Buffer.from(piece))),
];

describe("pieces that end where lines do", () => {
  test("a line that goes on in the next piece isn't torn apart", () => {
    expect(split("a\nb", "c\nd", "e").map(String)).toEqual(["a\n", "bc\n", "de"]);
    expect(split()).toEqual([]);
    expect(split("", "a", "").map(String)).toEqual(["a"]);
  });

  test("a line without end is cut, but no character of it", () => {
    // An odd byte before: the pieces end within characters.
    const text = `a${"ü".repeat(200_000)}世\u{1f427}`;
    const bytes = Buffer.from(text);
    const given = Array.from({ length: Math.ceil(bytes.length / 65536) }, (_, i) =>
      bytes.subarray(i * 65536, (i + 1) * 65536),
    );
    const pieces = [...linePieces(given)];
    expect(pieces.length).toBeGreaterThan(3);
    for (const piece of pieces) expect(piece.length).toBeLessThanOrEqual(2 * 65536);
    expect(pieces.map(printable).join("")).toBe(text);
  });

  test("of any bytes none is lost, and what is printed is the same", () => {
    const bytes = fc.uint8Array({ maxLength: 40 });
    const mostly = fc.array(fc.constantFrom(0x0a, 0x41, 0xc3, 0xbc, 0xe4), { maxLength: 40 });
    fc.assert(
      fc.property(fc.array(fc.oneof(bytes, mostly)), (given) => {
        const whole = Buffer.concat(given.map((piece) => Buffer.from(piece)));
        const pieces = split(...given.map((piece) => Uint8Array.from(piece)));
        expect(Buffer.concat(pieces)).toEqual(whole);
        expect(pieces.map(printable).join("")).toBe(printable(whole));
      }),
    );
  });
});
