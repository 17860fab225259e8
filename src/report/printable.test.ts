import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PrintablePieces, printable } from "./printable.js";

const utf8 = (text: string) => printable(Buffer.from(text));

describe("what a terminal could take as a command is shown as text", () => {
  test.each([
    ["ESC", "\u001b[2J", "\\x1b[2J"],
    ["an OSC that sets the title", "\u001b]0;title\u0007", "\\x1b]0;title\\x07"],
    ["CSI as one C1 character", "\u009b31m", "\\x9b31m"],
    ["DCS, OSC and ST of C1", "\u0090\u009d\u009c", "\\x90\\x9d\\x9c"],
    ["NUL", "a\0b", "a\\x00b"],
    ["backspace and carriage return", "good\b\b\b\bevil\r", "good\\x08\\x08\\x08\\x08evil\\x0d"],
    ["vertical tab and form feed", "\v\f", "\\x0b\\x0c"],
    ["DEL", "\u007f", "\\x7f"],
    ["NEL", "\u0085", "\\x85"],
    ["a right-to-left override", "\u202etxt.exe", "\\u202etxt.exe"],
    ["isolates", "\u2066\u2067\u2068\u2069", "\\u2066\\u2067\\u2068\\u2069"],
    ["marks of direction", "\u200e\u200f\u061c", "\\u200e\\u200f\\u061c"],
    ["characters of no width", "a\u200bb\u2060", "a\\u200bb\\u2060"],
    ["line and paragraph separators", "\u2028\u2029", "\\u2028\\u2029"],
    ["a byte order mark", "a\ufeffb", "a\\ufeffb"],
    ["a byte order mark at the start", "\ufeffa", "\\ufeffa"],
  ])("%s", (_, text, shown) => {
    expect(utf8(text)).toBe(shown);
  });
});

describe("what is printable stays", () => {
  test.each([
    "<6>[    0.000000] Linux version 6.1.0\n\ttab\n",
    "Grüße, мир, 世界, \u{1f427}\n",
    "back\\slash \\x1b",
    "",
  ])("%j", (text) => {
    expect(utf8(text)).toBe(text);
  });
});

describe("bytes that aren't UTF-8 are shown as \\xNN", () => {
  test.each([
    ["a lone byte", [0x61, 0xff, 0x62], "a\\xffb"],
    ["a sequence cut off", [0xe4, 0xb8], "\\xe4\\xb8"],
    ["an overlong sequence", [0xc0, 0x9b], "\\xc0\\x9b"],
    ["a surrogate", [0xed, 0xa0, 0x80], "\\xed\\xa0\\x80"],
    ["beyond Unicode", [0xf4, 0x90, 0x80, 0x80], "\\xf4\\x90\\x80\\x80"],
    ["with ESC beside them", [0x1b, 0xff], "\\x1b\\xff"],
    ["C1 as a byte", [0x9b, 0x33, 0x31, 0x6d], "\\x9b31m"],
  ])("%s", (_, bytes, shown) => {
    expect(printable(Uint8Array.from(bytes))).toBe(shown);
  });

  test("only in their own line", () => {
    const bytes = Buffer.concat([Buffer.from("ü\n"), Buffer.from([0xff]), Buffer.from("\nß")]);
    expect(printable(bytes)).toBe("ü\n\\xff\nß");
  });
});

describe("properties", () => {
  const anyBytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.string({ unit: "binary" }).map((text) => Buffer.from(text)),
    fc.array(fc.constantFrom(0x1b, 0x5b, 0x9b, 0xc2, 0xe2, 0x80, 0xae, 0x0a, 0x41)).map((bytes) => {
      return Uint8Array.from(bytes);
    }),
  );

  test("no control character but newline and tab is ever in the output, nor any of format", () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const shown = printable(bytes).replace(/[\n\t]/g, "");
        expect(shown).not.toMatch(/\p{Cc}|[\u202a-\u202e\u2066-\u2069]/u);
      }),
      { numRuns: 1000 },
    );
  });

  test("there are as many lines as before", () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const lines = bytes.filter((byte) => byte === 0x0a).length;
        expect(printable(bytes).split("\n")).toHaveLength(lines + 1);
      }),
      { numRuns: 500 },
    );
  });

  test("printable text comes out as it went in", () => {
    const plain = fc.string({ unit: fc.constantFrom(..."aZ09 .,\n\tüж世\u{1f427}\\[") });
    fc.assert(
      fc.property(plain, (text) => {
        expect(utf8(text)).toBe(text);
      }),
    );
  });
});

test("text in pieces is shown as in one, wherever it is cut", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.nat(10), (text, step) => {
      const bytes = Buffer.from(text);
      const pieces = new PrintablePieces();
      let shown = "";
      for (let at = 0; at < bytes.length; at += step + 1) {
        shown += pieces.push(bytes.subarray(at, at + step + 1));
      }
      expect(shown + pieces.end()).toBe(printable(bytes));
    }),
  );
  const pieces = new PrintablePieces();
  expect([pieces.push(Uint8Array.of(0xe2, 0x82)), pieces.end()]).toEqual(["", "\\xe2\\x82"]);
});
