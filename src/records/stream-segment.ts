import { join } from "node:path";
import { readLines } from "./read-lines.js";
import { formatRecordName, isStream, parseRecordName, type RecordName } from "./record-name.js";

export const STREAMS_NAME = ".streams";
/** Lines of many times as many streams as there can be; of a longer file the end is read. */
export const MAX_INDEX_BYTES = 4 << 20;
const LINE = /^([0-9a-f]{32}|-) ([a-z]+-[0-9]+)(?: ([a-z]+-[0-9]+) ([0-9]{1,15}))?$/;

/** No file of a stream has more, but for a note at its end. */
export const MAX_SEGMENT_BYTES = 64 << 20;

/** What `.streams` says of a stream's file. */
export interface StreamSegment {
  /** The guest's boot, 32 hexadecimal digits; undefined where its driver told none. */
  readonly boot: string | undefined;
  readonly name: RecordName;
  /** The stream's first file: this one, or one before it. */
  readonly first: RecordName;
  /** Bytes of the stream that come before this file. */
  readonly offset: number;
}

function parseStream(text: string | undefined): RecordName | undefined {
  const name = parseRecordName(text ?? "");
  return name !== undefined && isStream(name.type) ? name : undefined;
}

export function parseLine(line: string): StreamSegment[] {
  const [, boot, file, from, offset] = LINE.exec(line) ?? [];
  const name = parseStream(file);
  const first = from === undefined ? name : parseStream(from);
  if (boot === undefined || name === undefined || first?.type !== name.type) return [];
  return [{ boot: boot === "-" ? undefined : boot, name, first, offset: Number(offset ?? 0) }];
}

export function formatLine({ boot = "-", name, first, offset }: StreamSegment): string {
  const start = `${boot} ${formatRecordName(name)}`;
  return first.id === name.id ? start : `${start} ${formatRecordName(first)} ${offset}`;
}

/**
 * `.streams` of a directory: one line for each file that belongs to a stream with a boot id, or goes on
 * with another file's, oldest first. Empty where there is none. A line cut off by a crash is left out.
 */
export const readStreamIndex = (directory: string): StreamSegment[] =>
  readLines(join(directory, STREAMS_NAME), MAX_INDEX_BYTES).flatMap(parseLine);
