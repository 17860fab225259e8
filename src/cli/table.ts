import { eastAsianWidth } from "get-east-asian-width";
import { printableLine } from "../records/index.js";

/** Of a terminal's column: what is drawn over the character before it, and a Hangul syllable's vowels and ends. */
const NO_WIDTH = /[\p{Mn}\p{Me}\u1160-\u11ff]/u;

/** Most cells are: then there is nothing to look up. */
const ASCII = /^[ -~]*$/;

/** A printable character's columns on a terminal (UAX #11), as wcwidth(3) tells them. */
function columnsOf(character: string): number {
  if (NO_WIDTH.test(character)) return 0;
  return eastAsianWidth(character.codePointAt(0) ?? 0);
}

const widthOf = (text: string): number =>
  ASCII.test(text) ? text.length : [...text].reduce((sum, one) => sum + columnsOf(one), 0);

/** So many columns the last cell has in any case: it is what a table is read for. */
const LEAST_COLUMNS = 20;

/** A printable line of `width` columns at most; an ellipsis stands where it is cut. */
export function cut(line: string, width: number): string {
  if (widthOf(line) <= width) return line;
  let shown = "";
  let columns = 0;
  for (const character of line) {
    columns += columnsOf(character);
    if (columns > width - 1) break;
    shown += character;
  }
  return `${shown}…`;
}

/** Columns as wide as what is in them, made printable; rows cut to `width` where it is given and leaves the last some room. */
export function formatTable(
  cells: readonly (readonly string[])[],
  width = Number.POSITIVE_INFINITY,
): string {
  const rows = cells.map((row) =>
    row.map((cell) => {
      const text = printableLine(cell);
      return { text, columns: widthOf(text) };
    }),
  );
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, { columns }] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, columns);
  }
  const before = widths.slice(0, -1).reduce((sum, columns) => sum + columns + 2, 0);
  return rows
    .map((row) =>
      row
        .map(({ text, columns }, i) => text + " ".repeat((widths[i] ?? 0) - columns))
        .join("  ")
        .trimEnd(),
    )
    .map((line) => `${cut(line, Math.max(width, before + LEAST_COLUMNS))}\n`)
    .join("");
}

/** The terminal's width; undefined where it tells none, or the output goes elsewhere, and is whole. */
export const terminalWidth = (): number | undefined =>
  process.stdout.isTTY ? process.stdout.columns || undefined : undefined;
