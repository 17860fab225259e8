import { formatTable } from "../table.js";

/** A table's lines, without their ends. */
export const tableLines = (rows: readonly (readonly string[])[]): string[] =>
  formatTable(rows).trimEnd().split("\n");
