import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  PrintablePieces,
  printable,
  printableJson,
  printableLine,
  printableText,
} from "./printable.js";

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
    ["a soft hyphen", "a\u00adb", "a\\xadb"],
    ["a vowel separator of no width", "\u180e", "\\u180e"],
    ["variation selectors", "a\ufe0f\u{e0100}", "a\\ufe0f\\u{e0100}"],
    ["tags", "\u{e0001}\u{e0041}\u{e007f}", "\\u{e0001}\\u{e0041}\\u{e007f}"],
    ["musical format", "\u{1d173}", "\\u{1d173}"],
    ["fillers", "\u115f\u3164\uffa0", "\\u115f\\u3164\\uffa0"],
    ["private use", "\ue000\u{f0000}\u{10fffd}", "\\ue000\\u{f0000}\\u{10fffd}"],
    ["noncharacters", "\uffff\ufdd0\u{10ffff}", "\\uffff\\ufdd0\\u{10ffff}"],
  ])("%s", (_, text, shown) => {
    expect(utf8(text)).toBe(shown);
  });
});

describe("what is printable stays", () => {
  test.each([
    "<6>[    0.000000] Linux version 6.1.0\n\ttab\n",
    "Grüße, мир, 世界, \u{1f427}\n",
    "back\\slash \\x1b",
    "e\u0301 \u{1f600} \u{20000} \u{1d54f} עברית हिन्दी",
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

/** Blocks of which nothing is to reach a terminal, by the issue that asked for it. */
const HOSTILE: readonly (readonly [number, number])[] = [
  ...([
    [0x00, 0x08],
    [0x0b, 0x1f],
    [0x7f, 0x9f],
    [0xad, 0xad],
    [0x61c, 0x61c],
    [0x180e, 0x180e],
  ] as const),
  ...([
    [0x200b, 0x200f],
    [0x2028, 0x202e],
    [0x2060, 0x2064],
    [0x2066, 0x206f],
    [0xfe00, 0xfe0f],
  ] as const),
  ...([
    [0xfeff, 0xfeff],
    [0xfff9, 0xfffb],
    [0xd800, 0xdfff],
    [0xe000, 0xf8ff],
    [0xe0000, 0xe01ef],
  ] as const),
  ...([[0xf0000, 0x10ffff]] as const),
];
const hostileIn = (text: string) =>
  [...text].filter((character) => {
    const code = character.codePointAt(0) ?? 0;
    return HOSTILE.some(([first, last]) => code >= first && code <= last);
  });

test("every code point of those blocks is escaped, each in ASCII", () => {
  const asEscape = /^\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|u\{[0-9a-f]{5,6}\})$/;
  for (const [first, last] of HOSTILE) {
    for (let code = first; code <= last; code++) {
      const text = printableText(String.fromCodePoint(code));
      if (!asEscape.test(text)) expect.fail(`U+${code.toString(16)} is shown as ${text}`);
    }
  }
});

describe("one line", () => {
  test.each([
    ["a name that tells a line of its own", "a\nvirtio-pstore: b", "a\\x0avirtio-pstore: b"],
    ["a tab", "a\tb", "a\\x09b"],
    ["what a terminal would obey", "\u001b[2J\u202e", "\\x1b[2J\\u202e"],
    ["half of a surrogate pair", "\ud83d", "\\ud83d"],
  ])("%s", (_, text, shown) => {
    expect(printableLine(text)).toBe(shown);
  });
});

describe("JSON", () => {
  test("escapes what JSON.stringify leaves", () => {
    const value = { "k\u009b": "\u001b\u007f\u009b31m\u202e\u{e0041}\ufe0fß" };
    const text = '{\n "k\\u009b": "\\u001b\\u007f\\u009b31m\\u202e\\udb40\\udc41\\ufe0fß"\n}';
    expect(printableJson(value, 1)).toBe(text);
  });

  test("says what it said before, in characters that are allowed", () => {
    const value = fc.dictionary(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }));
    fc.assert(
      fc.property(value, fc.constantFrom(undefined, 2), (any, space) => {
        const text = printableJson(any, space);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(any)));
        expect(hostileIn(text)).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });
});

describe("properties", () => {
  const anyBytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.string({ unit: "binary" }).map((text) => Buffer.from(text)),
    fc.array(fc.constantFrom(...HOSTILE.flat())).map((codes) => {
      return Buffer.from(String.fromCodePoint(...codes));
    }),
    fc.array(fc.constantFrom(0x1b, 0x5b, 0x9b, 0xc2, 0xe2, 0x80, 0xae, 0x0a, 0x41)).map((bytes) => {
      return Uint8Array.from(bytes);
    }),
  );

  test("no code point but newline, tab and what is allowed is ever in the output", () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const shown = printable(bytes);
        expect(hostileIn(shown)).toEqual([]);
        expect(shown.replace(/[\n\t]/g, "")).not.toMatch(/\p{C}/u);
        expect(printableText(shown)).toBe(shown);
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

test("a line's end of another system is one, and a carriage return elsewhere is shown", () => {
  expect(utf8("a\r\nb\r\r\n\rc\r")).toBe("a\nb\n\\x0dc\\x0d");
});

test("text in pieces is shown as in one, wherever it is cut", () => {
  const unit = fc.oneof(fc.string({ unit: "grapheme", maxLength: 1 }), fc.constantFrom("\r", "\n"));
  fc.assert(
    fc.property(fc.string({ unit }), fc.nat(10), (text, step) => {
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
