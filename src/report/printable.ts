import { wholeCharacters } from "./pieces.js";

/** What a terminal takes as commands, or shows as something else than it is. */
const UNPRINTABLE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]/g;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Guest text made harmless: everything but newline, tab and printable characters becomes `\xNN` or
 * `\uNNNN`; bytes that aren't UTF-8 become `\xNN`.
 */
export function printable(bytes: Uint8Array): string {
  return decode(bytes).replace(UNPRINTABLE, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100 ? hexByte(code) : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

const hexByte = (byte: number): string => `\\x${byte.toString(16).padStart(2, "0")}`;

/** UTF-8 where it is well-formed, line by line, so that one bad byte doesn't change other lines. */
function decode(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    const text = Buffer.from(bytes).toString("latin1");
    return text
      .split("\n")
      .map((line) => {
        try {
          return decoder.decode(Buffer.from(line, "latin1"));
        } catch {
          return line.replace(/[\u0080-\u00ff]/g, (byte) => hexByte(byte.charCodeAt(0)));
        }
      })
      .join("\n");
  }
}

/** Makes text printable that comes in pieces: a character may be cut in two where a piece ends. */
export class PrintablePieces {
  #rest = Buffer.alloc(0);

  push(piece: Uint8Array): string {
    const bytes = Buffer.concat([this.#rest, piece]);
    const whole = wholeCharacters(bytes);
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
