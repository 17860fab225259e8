import type { RecordName, RecordTypeName } from "./record-name.js";

/** What pstore knows of, and a source may hold. Only the store's own types come from its directories. */
export type SourceTypeName = RecordTypeName | "mce" | "unknown";

/** A record, wherever it lies. */
export interface RecordEntry extends Omit<RecordName, "type"> {
  readonly type: SourceTypeName;
  /** What its source calls it; one name for each record of a guest. */
  readonly name: string;
  /** For messages: where it lies. */
  readonly path: string;
  /** The ERST file that it is a slot of; undefined where it is a file itself. */
  readonly container?: string;
  /** The guest whose directory it lies in; empty where the source itself was named. */
  readonly guest: string;
  /** In bytes, as stored. */
  readonly size: number;
  readonly time: Date;
  /** The guest erased it, and is no longer shown it. */
  readonly erased: boolean;
  /** The guest's boot that a stream belongs to, as 32 hexadecimal digits, where it is known. */
  readonly boot?: string;
  /** Where it stands in its stream, which may go on from one file to the next. */
  readonly stream?: {
    /** The name of the stream's first file, which may be this one. */
    readonly first: string;
    /** Bytes of the stream that came before it. */
    readonly offset: number;
  };
  readonly source: RecordSource;
}

/** What keeps records: a directory's files, or slots of another kind of store. */
export interface RecordSource {
  /** Where it keeps them, if that is a directory in which an index may lie. */
  readonly directory?: string;
  /** The stored bytes from `from` up to `to`, or to their end where that comes first. */
  read(record: RecordEntry, from: number, to: number): Iterable<Buffer>;
  /**
   * Removes records for good, the first one last: what is interrupted keeps its name. Throws the system call's
   * error.
   */
  remove(records: readonly RecordEntry[]): void;
}

/** Of a record as it is now: a file may be replaced, a slot written again under the same id. */
export const keyOf = ({ name, size, time }: RecordEntry): string =>
  `${name} ${size} ${time.getTime()}`;

/** Told of what can't be read, and is left out: a directory, a slot, what a directory notes of its records. */
export type OnSkipped = (error: unknown) => void;
