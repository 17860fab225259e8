import { eastAsianWidth } from "get-east-asian-width";
import { isPlainLine, printableLine } from "../records/printable.js";

/** Of a terminal's column: what is drawn over the character before it, and a Hangul syllable's vowels and ends. */
const NO_WIDTH = /[\p{Mn}\p{Me}\u1160-\u11ff]/u;

/** A printable character's columns on a terminal (UAX #11), as wcwidth(3) tells them. */
function columnsOf(character: string): number {
  if (NO_WIDTH.test(character)) return 0;
  return eastAsianWidth(character.codePointAt(0) ?? 0);
}

const widthOf = (text: string): number =>
  isPlainLine(text) ? text.length : [...text].reduce((sum, one) => sum + columnsOf(one), 0);

/** So many columns the last cell has in any case: it is what a table is read for. */
const LEAST_COLUMNS = 20;

/** A printable line of `width` columns at most; an ellipsis stands where it is cut. */
export function cut(line: string, width: number): string {
  // No character takes more than two columns.
  if (line.length * 2 <= width) return line;
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
    // Most are plain as a whole.
    isPlainLine(row.join(""))
      ? { row, columnsOf: lengthOf }
      : { row: row.map(printableLine), columnsOf: widthOf },
  );
  const widths: number[] = [];
  for (const { row, columnsOf } of rows) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, columnsOf(cell));
    });
  }
  const last = widths.length - 1;
  const before = widths.slice(0, -1).reduce((sum, columns) => sum + columns + 2, 0);
  const most = Math.max(width, before + LEAST_COLUMNS);
  let table = "";
  for (const { row, columnsOf } of rows) {
    let line = "";
    row.forEach((cell, i) => {
      line += i === last ? cell : cell + " ".repeat((widths[i] ?? 0) - columnsOf(cell) + 2);
    });
    table += `${cut(line.trimEnd(), most)}\n`;
  }
  return table;
}

const lengthOf = ({ length }: string): number => length;

/** The terminal's width; undefined where it tells none, or the output goes elsewhere, and is whole. */
export const terminalWidth = (): number | undefined =>
  process.stdout.isTTY ? process.stdout.columns || undefined : undefined;
