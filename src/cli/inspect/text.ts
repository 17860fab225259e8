import { guestText } from "../../memory/guest-text.js";
import { printableLine } from "../../records/printable.js";
import { formatTable } from "../table.js";

/** A name or command line of the guest, each byte a character, as one harmless line. */
export const guestLine = (latin1: string): string => printableLine(guestText(latin1));

/** A table's lines, without their ends; every column is set to the left. */
export const tableLines = (rows: readonly (readonly string[])[]): string[] =>
  formatTable(rows).trimEnd().split("\n");

/** A time in seconds, with the milliseconds. */
export function seconds(ns: bigint): string {
  const ms = ns / 1_000_000n;
  return `${ms / 1000n}.${String(ms % 1000n).padStart(3, "0")} s`;
}
