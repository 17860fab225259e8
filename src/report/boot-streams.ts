import { missingNote, type StreamTypeName } from "../store/layout.js";
import { readHeader, recordBytes, recordText } from "./decode.js";
import type { RecordEntry } from "./records.js";

/** What one boot printed, or what its user space wrote: the records it was stored in, oldest first. */
export interface BootStream {
  readonly guest: string;
  readonly type: StreamTypeName;
  /** The guest's boot, as 32 hexadecimal digits, where its driver tells. */
  readonly boot?: string;
  /** When it was last written to. */
  readonly time: Date;
  readonly records: readonly RecordEntry[];
}

/** The streams of a type, the one that was last written to last. A record of which nothing is known is one of its own. */
export function findStreams(records: readonly RecordEntry[], type: StreamTypeName): BootStream[] {
  const streams = new Map<string, RecordEntry[]>();
  for (const record of records) {
    if (record.type !== type) continue;
    // A stream's first file needs no line in .streams; its owner may have compressed it.
    const own = record.name.replace(/\.gz$/, "");
    const key = `${record.guest}/${record.stream?.first ?? own}`;
    const there = streams.get(key);
    if (there === undefined) streams.set(key, [record]);
    else there.push(record);
  }
  return [...streams.values()]
    .flatMap((of) => {
      const last = of.at(-1);
      if (last === undefined) return [];
      const { guest, boot, time } = last;
      const stream = { guest, type, time, records: of };
      return [boot === undefined ? stream : { ...stream, boot }];
    })
    .sort((a, b) => a.time.getTime() - b.time.getTime());
}

/** A stream's text in pieces; what is missing is said where it is. Of what nothing decompresses, the bytes. */
export function* streamText({ records }: BootStream): Generator<Buffer, void, void> {
  let end = 0;
  let newline = true;
  for (const record of records) {
    const missing = (record.stream?.offset ?? end) - end;
    if (missing > 0) yield Buffer.from((newline ? "" : "\n") + missingNote(missing));
    // Not the record's size: its owner may have compressed it.
    let length = 0;
    for (const piece of recordText(readHeader(record)) ?? recordBytes(record)) {
      yield piece;
      length += piece.length;
      newline = piece.at(-1) === 0x0a;
    }
    end = (record.stream?.offset ?? 0) + length;
  }
}
