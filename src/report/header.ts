/** What pstore's first line says: `Panic#1 Part2`. */
export interface RecordHeader {
  /** Why the dump was made: Panic, Oops, … */
  readonly reason: string;
  /** Oopses and panics since boot, this one included. */
  readonly count: number;
  /** Part 1 holds the newest text. */
  readonly part: number;
}

/** pstore's own first line (fs/pstore/platform.c); its numbers are 32 bits wide. */
const HEADER = /^([A-Z][A-Za-z ]*)#([0-9]{1,10}) Part([0-9]{1,10})\n/;

/** No first line that pstore writes is longer. */
const MAX_HEADER_BYTES = 128;

/** The first line of a record that pstore's core wrote, and its length; undefined where it is none. */
export function parseHeader(
  text: Uint8Array,
): { readonly header: RecordHeader; readonly bytes: number } | undefined {
  const match = HEADER.exec(Buffer.from(text.subarray(0, MAX_HEADER_BYTES)).toString("latin1"));
  if (match === null) return undefined;
  const [line, reason = "", count, part] = match;
  return { header: { reason, count: Number(count), part: Number(part) }, bytes: line.length };
}
