import { printable, printableLine } from "../../records/printable.js";
import { formatTable } from "../table.js";

/** A name or command line of the guest, each byte a character, as one harmless line. */
export const guestLine = (latin1: string): string =>
  printableLine(printable(Buffer.from(latin1, "latin1")));

/** A table's lines, without their ends; every column is set to the left. */
export const tableLines = (rows: readonly (readonly string[])[]): string[] =>
  formatTable(rows).trimEnd().split("\n");

/** Rows under each other; a column whose head ends in a space is set to the left, the last as it is. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  }
  const head = rows[0] ?? [];
  return rows.map((row) =>
    row
      .map((cell, i) => {
        if (i === row.length - 1) return cell;
        const width = widths[i] ?? 0;
        return head[i]?.endsWith(" ") === true ? cell.padEnd(width - 1) : cell.padStart(width);
      })
      .join(" ")
      .trimEnd(),
  );
}

/** A time in seconds, with the milliseconds. */
export function seconds(ns: bigint): string {
  const ms = ns / 1_000_000n;
  return `${ms / 1000n}.${String(ms % 1000n).padStart(3, "0")} s`;
}
