import type { RecordEntry } from "./record-table.js";

/** Records that are kept or dropped together: a dump's parts, or one file of a stream. */
export interface Unit {
  /** Oldest first. */
  readonly records: readonly RecordEntry[];
  readonly bytes: number;
  /** When it came, in milliseconds since 1970-01-01 UTC. */
  readonly timeMs: number;
  /** It is still written to, and never dropped. */
  readonly busy: boolean;
  /** Of a stream's file: the id of the one that its stream began with. */
  readonly stream?: bigint;
}

/** `records`: oldest first. */
export function unitOf(records: readonly RecordEntry[]): Unit {
  return {
    records,
    bytes: records.reduce((sum, { size }) => sum + size, 0),
    timeMs: records[0]?.timeMs ?? 0,
    busy: records.some(({ pending }) => pending === true),
  };
}
