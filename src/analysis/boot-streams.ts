import { missingNote, recordKey, type StreamTypeName } from "../records/index.js";
import { notedText } from "../records/note.js";
import type { RecordEntry } from "../records/record.js";
import { readHeader, textOrNotes } from "./decode.js";

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
    const first = record.stream?.first ?? recordKey({ type, id: record.id });
    const key = `${record.guest}/${first}`;
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

/** A stream's text in pieces; what is missing, or can't be decompressed, is said where it is. */
export function streamText(stream: BootStream): Generator<Buffer, void, void> {
  return notedText(textAndNotes(stream));
}

function* textAndNotes({ records }: BootStream) {
  /** Where the text ends that was shown; undefined where nobody knows how much of it is missing. */
  let end: number | undefined = 0;
  for (const record of records) {
    const offset = record.stream?.offset ?? 0;
    if (end !== undefined && offset > end) yield missingNote(offset - end);
    end = offset;
    let isCut = false;
    const text = textOrNotes(readHeader(record), () => {
      isCut = true;
    });
    for (const piece of text) {
      yield piece;
      // The file's size doesn't tell it: its owner may have compressed it.
      if (typeof piece !== "string") end += piece.length;
    }
    if (isCut) end = undefined;
  }
}
