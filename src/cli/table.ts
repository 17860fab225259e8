import { printableLine } from "../report/index.js";

/** Columns as wide as what is in them, made printable; rows cut to `width` where it is given. */
export function formatTable(
  cells: readonly (readonly string[])[],
  width = Number.POSITIVE_INFINITY,
): string {
  const rows = cells.map((row) => row.map(printableLine));
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  }
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .map((line) => `${line.length > width ? `${line.slice(0, width - 1)}…` : line}\n`)
    .join("");
}

/** The terminal's width; undefined where the output goes elsewhere, and is whole. */
export const terminalWidth = (): number | undefined =>
  process.stdout.isTTY ? process.stdout.columns : undefined;
