import { type DumpTypeName, isDump } from "../store/layout.js";
import { type HeadedRecord, recordText } from "./decode.js";
import { note } from "./note.js";

/** The parts of one dump, in the order of their ids. */
export interface Dump {
  readonly guest: string;
  readonly type: DumpTypeName;
  readonly reason: string;
  readonly count: number;
  /** The guest's boot, as 32 hexadecimal digits, where its driver tells. */
  readonly boot?: string;
  /** When the host stored its first part. */
  readonly time: Date;
  /** Part 1 holds the oldest text. */
  readonly oldestFirst: boolean;
  readonly parts: readonly HeadedRecord[];
}

/** A dump to which parts may still be added. */
interface Growing {
  readonly dump: Dump & { readonly parts: HeadedRecord[]; readonly order: number };
  readonly numbers: Set<number>;
}

/** Whether `record` is the next part of a dump whose guest, type and boot it has. */
function continues({ dump, numbers }: Growing, { header }: HeadedRecord): boolean {
  if (header === undefined) return false;
  const { reason, count, part } = header;
  if (dump.reason !== reason || dump.count !== count) return false;
  // With a boot id nothing of another boot can be taken for this one's: order means nothing.
  if (dump.boot !== undefined) return !numbers.has(part);
  return (dump.parts.at(-1)?.header?.part ?? Number.POSITIVE_INFINITY) < part;
}

/**
 * Puts records together to dumps, oldest first. Parts of one dump have the same reason and count, and
 * the same boot id where there is one; another part of the same number begins another dump. Without a
 * boot id a dump also ends where any other record follows, or a part that isn't higher: a guest writes
 * a dump's parts one after another, and count begins anew with each boot.
 */
export function groupDumps(records: readonly HeadedRecord[]): Dump[] {
  const dumps: Growing["dump"][] = [];
  const newest = new Map<string, Growing>();
  /** By guest, which are put in order by time; a guest's own dumps stay in that of their ids. */
  const orders = new Map<string, number>();
  for (const record of records) {
    const { header, guest, time, type } = record;
    if (!isDump(type)) continue;
    const { reason = "unreadable", count = 0, boot } = header ?? {};
    // Where there is no boot id, all of a guest's dumps share one place: the newest ends the others.
    const place = `${guest}/${type}/${boot === undefined ? "" : `${boot}/${reason}/${count}`}`;
    let growing = newest.get(place);
    if (growing !== undefined && continues(growing, record)) {
      growing.dump.parts.push(record);
    } else {
      const order = Math.max(time.getTime(), orders.get(guest) ?? 0);
      orders.set(guest, order);
      const oldestFirst = header?.oldestFirst === true;
      const begun = { guest, type, reason, count, time, oldestFirst, parts: [record], order };
      const dump = boot === undefined ? begun : { ...begun, boot };
      growing = { dump, numbers: new Set() };
      newest.set(place, growing);
      dumps.push(dump);
    }
    if (header !== undefined) growing.numbers.add(header.part);
  }
  return dumps.sort((a, b) => a.order - b.order);
}

/** Whether the end of what the guest meant to send is missing, as far as its records tell. */
export function isCutShort({ oldestFirst, parts }: Dump): boolean {
  return oldestFirst && !parts.some(({ header }) => header?.last === true);
}

/** What a dump's text is made of, oldest first: its records, and the numbers of parts that are missing. */
type Piece = HeadedRecord | { readonly first: number; readonly last: number };

function piecesOfDump(dump: Dump): Piece[] {
  const step = dump.oldestFirst ? 1 : -1;
  const parts = [...dump.parts].sort(
    (a, b) => step * ((a.header?.part ?? 0) - (b.header?.part ?? 0)),
  );
  const pieces: Piece[] = [];
  // Of text that is newest first nobody knows how many older parts there should be.
  let expected = dump.oldestFirst ? 1 : undefined;
  for (const record of parts) {
    const part = record.header?.part;
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
  return piecesOfDump(dump).reduce(
    (sum, piece) => sum + ("first" in piece ? Math.abs(piece.last - piece.first) + 1 : 0),
    0,
  );
}

/**
 * A dump's text in pieces: its parts joined oldest first, one decompressed at a time. What can't be read
 * is said where it is missing.
 */
export function* dumpText(dump: Dump): Generator<Buffer, void, void> {
  for (const piece of piecesOfDump(dump)) {
    if ("first" in piece) yield missing(piece.first, piece.last);
    else yield* partText(piece);
  }
  if (isCutShort(dump)) yield note("the dump is cut short here: its last part is missing");
}

function* partText(record: HeadedRecord): Generator<Buffer, void, void> {
  try {
    const text = recordText(record);
    if (text !== undefined) yield* text;
    else yield note(`${record.path} can't be decompressed: ${record.size} bytes`);
  } catch (error) {
    // Also one that is removed at this moment: what the others hold is shown all the same.
    yield note(`${record.path} can't be read: ${error instanceof Error ? error.message : error}`);
  }
}

/** A dump's text as a whole, for a dump that is known to be small. */
export function joinDump(dump: Dump): Buffer {
  return Buffer.concat([...dumpText(dump)]);
}

function missing(first: number, last: number): Buffer {
  return note(
    first === last ? `part ${first} is missing` : `parts ${first} to ${last} are missing`,
  );
}
