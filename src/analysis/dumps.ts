import { type DumpTypeName, LATE_MS } from "../records/index.js";
import { missingPartsNote, note, notedText } from "../records/note.js";
import { type HeadedRecord, textOrNotes } from "./decode.js";

/** A record of a dump. */
export interface DumpPart extends HeadedRecord {
  /** Where it has no header: that of the part that it must be, as far as anything tells. */
  readonly supposedPart?: number;
}

/** A record's number in its dump, where that is known. */
export const partOf = ({ header, supposedPart }: DumpPart): number | undefined =>
  header?.part ?? supposedPart;

/** The parts of one dump, in the order of their ids. */
export interface Dump {
  readonly guest: string;
  readonly type: DumpTypeName;
  readonly reason: string;
  readonly count: number;
  /** The guest's boot, as 32 hexadecimal digits, where its driver tells. */
  readonly boot: string | undefined;
  /** When the host stored its first part. */
  readonly time: Date;
  /** Part 1 holds the oldest text. */
  readonly oldestFirst: boolean;
  readonly parts: readonly DumpPart[];
}

/** Whether the end of what the guest meant to send is missing, as far as its records tell. */
export function isCutShort({ oldestFirst, parts }: Dump): boolean {
  return oldestFirst && !parts.some(({ header }) => header?.last === true);
}

/** What a dump's text is made of, oldest first: its records, and the numbers of parts that are missing. */
type Piece = DumpPart | { readonly first: number; readonly last: number };

function piecesOfDump(dump: Dump): Piece[] {
  const step = dump.oldestFirst ? 1 : -1;
  const parts = [...dump.parts].sort((a, b) => step * ((partOf(a) ?? 0) - (partOf(b) ?? 0)));
  const pieces: Piece[] = [];
  // Of text that is newest first nobody knows how many older parts there should be.
  let expected = dump.oldestFirst ? 1 : undefined;
  for (const record of parts) {
    const part = partOf(record);
    if (part !== undefined && expected !== undefined && step * (part - expected) > 0) {
      pieces.push({ first: expected, last: part - step });
    }
    pieces.push(record);
    if (part !== undefined) expected = part + step;
  }
  if (!dump.oldestFirst && expected !== undefined && expected > 0) {
    pieces.push({ first: expected, last: 1 });
  }
  return pieces;
}

/** How many parts are known to be missing between those that are there, or before them. */
export function missingParts(dump: Dump): number {
  let highest = 0;
  let there = 0;
  // A guest may begin at 0, though pstore begins at 1.
  for (const record of dump.parts) {
    const part = partOf(record) ?? 0;
    highest = Math.max(highest, part);
    if (part > 0) there++;
  }
  return highest - there;
}

/**
 * A dump's text in pieces: its parts joined oldest first, one decompressed at a time. What can't be read
 * is said where it is missing; `onCut` is told that the text of a part, or the last part, is, with the error
 * if that is what reading a record ended with.
 */
export function dumpText(
  dump: Dump,
  onCut: (error?: unknown) => void = () => undefined,
): Generator<Buffer, void, void> {
  return notedText(textAndNotes(dump, onCut));
}

function* textAndNotes(dump: Dump, onCut: (error?: unknown) => void) {
  const apart = partsApart(dump);
  for (const piece of piecesOfDump(dump)) {
    if ("first" in piece) {
      yield missingPartsNote(piece.first, piece.last);
      continue;
    }
    const ms = apart.get(piece);
    if (ms !== undefined) yield apartNote(piece, ms);
    yield* textOrNotes(piece, onCut);
  }
  if (!isCutShort(dump)) return;
  onCut();
  yield note("the dump is cut short here: its last part is missing");
}

/** Parts that weren't stored just behind the one before, and how many milliseconds lie between. */
function partsApart({ parts }: Dump): Map<Piece, number> {
  const apart = new Map<Piece, number>();
  parts.forEach((part, i) => {
    const ms = Math.abs(part.time.getTime() - (parts[i - 1] ?? part).time.getTime());
    if (ms > LATE_MS) apart.set(part, ms);
  });
  return apart;
}

/** A guest sends all parts without a pause: they were copied without their times, or this one was added. */
const apartNote = ({ name }: DumpPart, ms: number): string =>
  note(`the time of ${name} is ${Math.round(ms / 1000)} s from that of the part before it`);
