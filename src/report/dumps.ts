import type { DumpTypeName } from "../store/index.js";
import { type HeadedRecord, recordText } from "./decode.js";

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

type Growing = Dump & { readonly parts: HeadedRecord[]; readonly order: number };

/** Whether `record` is the next part of `dump`, whose reason, count and boot it has. */
function continues(dump: Growing, record: HeadedRecord): boolean {
  const parts = dump.parts.map(({ header }) => header?.part);
  const part = record.header?.part;
  if (part === undefined) return false;
  // With a boot id nothing of another boot can be taken for this one's: order means nothing.
  if (dump.boot !== undefined) return !parts.includes(part);
  return (parts.at(-1) ?? Number.POSITIVE_INFINITY) < part;
}

/**
 * Puts records together to dumps, oldest first. Parts of one dump have the same reason and count, and
 * the same boot id where there is one; another part of the same number begins another dump. Without a
 * boot id a dump also ends where any other record follows, or a part that isn't higher: a guest writes
 * a dump's parts one after another, and count begins anew with each boot.
 */
export function groupDumps(records: readonly HeadedRecord[]): Dump[] {
  const dumps: Growing[] = [];
  const newest = new Map<string, Growing>();
  /** By guest: nothing is put in order before what it stored earlier. */
  const orders = new Map<string, number>();
  for (const record of records) {
    const { header, guest, time, type } = record;
    if (type !== "dmesg" && type !== "ftrace") continue;
    const { reason = "unreadable", count = 0, boot } = header ?? {};
    // Where there is no boot id, all of a guest's dumps share one place: the newest ends the others.
    const place = `${guest}/${type}/${boot === undefined ? "" : `${boot}/${reason}/${count}`}`;
    const last = newest.get(place);
    if (
      last !== undefined &&
      last.reason === reason &&
      last.count === count &&
      continues(last, record)
    ) {
      last.parts.push(record);
      continue;
    }
    const order = Math.max(time.getTime(), orders.get(guest) ?? 0);
    orders.set(guest, order);
    const oldestFirst = header?.oldestFirst === true;
    const dump = { guest, type, reason, count, time, oldestFirst, parts: [record], order };
    const growing = boot === undefined ? dump : { ...dump, boot };
    newest.set(place, growing);
    dumps.push(growing);
  }
  return dumps.sort((a, b) => a.order - b.order);
}

/** Whether all of the dump that the guest meant to send is there, as far as its records tell. */
export function isCutShort({ oldestFirst, parts }: Dump): boolean {
  return oldestFirst && !parts.some(({ header }) => header?.last === true);
}

/**
 * A dump's text in pieces: its parts joined oldest first, one decompressed at a time. What can't be read
 * is said where it is missing.
 */
export function* dumpText(dump: Dump): Generator<Buffer, void, void> {
  const step = dump.oldestFirst ? 1 : -1;
  const parts = [...dump.parts].sort(
    (a, b) => step * ((a.header?.part ?? 0) - (b.header?.part ?? 0)),
  );
  // Of text that is newest first nobody knows how many older parts there should be.
  let expected = dump.oldestFirst ? 1 : undefined;
  for (const record of parts) {
    const part = record.header?.part;
    if (part !== undefined && expected !== undefined && part !== expected) {
      yield missing(expected, part - step);
    }
    const text = recordText(record);
    if (text !== undefined) yield* text;
    else yield unreadable(record);
    if (part !== undefined) expected = part + step;
  }
  if (!dump.oldestFirst && expected !== undefined && expected > 0) yield missing(expected, 1);
  if (isCutShort(dump)) yield note("the dump is cut short here: its last part is missing");
}

/** A dump's text as a whole, for a dump that is known to be small. */
export function joinDump(dump: Dump): Buffer {
  return Buffer.concat([...dumpText(dump)]);
}

const note = (text: string): Buffer => Buffer.from(`[virtio-pstore: ${text}]\n`);

const unreadable = ({ path, size }: HeadedRecord): Buffer =>
  note(`${path} can't be decompressed: ${size} bytes`);

function missing(first: number, last: number): Buffer {
  return note(
    first === last ? `part ${first} is missing` : `parts ${first} to ${last} are missing`,
  );
}
