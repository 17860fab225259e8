import { linePieces, printable } from "../records/index.js";
import { highlight } from "./highlight.js";
import type { Output } from "./pager.js";

/** How a guest's text is written. */
export interface TextOptions {
  /** The guest's bytes as they are. */
  readonly raw: boolean;
  /** As dmesg(1) prints it: without the level before each line. */
  readonly dmesg: boolean;
  readonly color: boolean;
  /** A line's end behind the last line, too, where more is to follow; not behind the guest's bytes as they are. */
  readonly endLine: boolean;
  /** Writes behind places in the kernel what is known of them; takes whole lines. */
  readonly annotate?: ((lines: string) => Promise<string>) | undefined;
}

/** syslog's level before a line, or a level and a facility. */
const LEVEL = /^<[0-9]{1,4}>/gm;

/** Writes text as it comes, harmless to a terminal. False where nobody reads any more. */
export async function writeLog(
  output: Output,
  text: Iterable<Uint8Array>,
  options: TextOptions,
): Promise<boolean> {
  if (options.raw) return writePieces(output, text);
  let isEnded = true;
  for (const piece of linePieces(text)) {
    const lines = printable(piece);
    const plain = options.dmesg ? lines.replace(LEVEL, "") : lines;
    const known = options.annotate === undefined ? plain : await options.annotate(plain);
    const shown = options.color ? known.split("\n").map(highlight).join("\n") : known;
    if (!(await output.write(shown))) return false;
    isEnded = lines.endsWith("\n");
  }
  return isEnded || !options.endLine || output.write("\n");
}

/** Writes pieces as they are. False where nobody reads any more. */
export async function writePieces(output: Output, pieces: Iterable<Uint8Array>): Promise<boolean> {
  for (const piece of pieces) if (!(await output.write(piece))) return false;
  return true;
}

/** Whether text is coloured: `auto` is on a terminal that shows colours, unless $NO_COLOR is set. */
export function isColored(when: "auto" | "always" | "never"): boolean {
  if (when !== "auto") return when === "always";
  const { NO_COLOR = "", TERM } = process.env;
  return process.stdout.isTTY && NO_COLOR === "" && TERM !== "dumb";
}
