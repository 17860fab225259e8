import { isUtf8 } from "node:buffer";
import { wholeCharacters } from "./pieces.js";

/**
 * What a terminal takes as commands, shows as something else than it is, or doesn't show at all: control and
 * format characters, surrogates, what is private or unassigned (all General_Category C), separators of lines,
 * and whatever else is ignorable (variation selectors, fillers, tags). Newline and tab are taken as they are.
 */
const UNPRINTABLE = /(?![\n\t])[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/** Most text is: then there is nothing to look for. */
const PLAIN = /^[\n\t -~]*$/;

const CARRIAGE_RETURN = 0x0d;

/** A line's end, as other systems and terminals write it; a guest may send any number of carriage returns. */
const MOST_RETURNS = 4;
const LINE_END = new RegExp(`\\r{1,${MOST_RETURNS}}\\n`, "g");

/**
 * Guest text made harmless: everything but newline, tab and printable characters becomes `\xNN`,
 * `\uNNNN` or `\u{NNNNN}`; bytes that aren't UTF-8 become `\xNN`. What is harmless already stays, and
 * carriage returns at a line's end go.
 */
export function printable(bytes: Uint8Array): string {
  return printableText(decoded(bytes).replace(LINE_END, "\n"));
}

/** The same of text that has been decoded. */
export function printableText(text: string): string {
  return PLAIN.test(text) ? text : text.replace(UNPRINTABLE, escaped);
}

/** The same in one line: a name or a path can't pretend to be the next one. */
export function printableLine(text: string): string {
  return isPlainLine(text) ? text : printableText(text).replace(/[\n\t]/g, escaped);
}

/** Whether a line is printable ASCII, as most are: each character takes one column. */
export const isPlainLine = (text: string): boolean => PLAIN_LINE.test(text);

const PLAIN_LINE = /^[ -~]*$/;

/** JSON that says the same, with escapes of its own (RFC 8259, section 7): JSON.stringify's are only those below U+0020. */
export function printableJson(value: unknown, space?: number): string {
  const text = JSON.stringify(value, null, space);
  if (PLAIN.test(text)) return text;
  return text.replace(UNPRINTABLE, (character) =>
    // By UTF-16 unit.
    [...Array(character.length).keys()].map((i) => unit(character.charCodeAt(i))).join(""),
  );
}

function escaped(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x100) return hexByte(code);
  return code < 0x10000 ? unit(code) : `\\u{${code.toString(16)}}`;
}

const hexByte = (byte: number): string => `\\x${byte.toString(16).padStart(2, "0")}`;

const unit = (code: number): string => `\\u${code.toString(16).padStart(4, "0")}`;

/**
 * Guest text as it is: UTF-8 where it is well-formed, line by line, so that one bad byte doesn't change other lines;
 * bytes that aren't become `\xNN`.
 */
export function decoded(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (isUtf8(buffer)) return buffer.toString("utf8");
  return buffer
    .toString("latin1")
    .split("\n")
    .map((text) => {
      const line = Buffer.from(text, "latin1");
      if (isUtf8(line)) return line.toString("utf8");
      return text.replace(/[\u0080-\u00ff]/g, (byte) => hexByte(byte.charCodeAt(0)));
    })
    .join("\n");
}

/** Makes text printable that comes in pieces: a character, or a line's end, may be cut in two where a piece ends. */
export class PrintablePieces {
  #rest = Buffer.alloc(0);

  push(piece: Uint8Array): string {
    const bytes = Buffer.concat([this.#rest, piece]);
    let whole = wholeCharacters(bytes);
    for (let i = 0; i < MOST_RETURNS && bytes[whole - 1] === CARRIAGE_RETURN; i++) whole--;
    this.#rest = bytes.subarray(whole);
    return printable(bytes.subarray(0, whole));
  }

  /** What is left: nothing follows that could complete it. */
  end(): string {
    const rest = this.#rest;
    this.#rest = Buffer.alloc(0);
    return printable(rest);
  }
}
