import {
  type DumpTypeName,
  dumpKey,
  isDump,
  isOfSameDump,
  LATE_MS,
  mayContinue,
  type RecordHeader,
} from "../records/index.js";
import { familyOf } from "../records/pstorefs-name.js";
import { isText } from "../records/text-name.js";
import type { HeadedRecord } from "./decode.js";
import { type Dump, type DumpPart, partOf } from "./dumps.js";

/** A dump to which parts may still be added. */
interface Growing extends Dump {
  readonly parts: DumpPart[];
  readonly numbers: Set<number>;
  /** Dumps are put in this order. */
  readonly order: number;
}

/** What was read of a guest's type and back-end in one folder: those of others have nothing to do with it. */
interface Family {
  /** By dumpKey(). */
  readonly newest: Map<string, Growing>;
  /** What was added to last. */
  latest: Growing | undefined;
  /** Those without a header since the last that has one. */
  unread: HeadedRecord[];
}

/** Whether a record is of a dump as far as their headers tell. */
function continues({ parts, numbers }: Growing, record: HeadedRecord): boolean {
  const last = parts.at(-1);
  if (last?.header === undefined || record.header === undefined) return false;
  const { boot, guestTime, part } = record.header;
  // Boot and time say it all, also where the files' times are those of a copy.
  const isKnown = boot !== undefined && guestTime !== undefined;
  const pauseMs = isKnown ? 0 : record.time.getTime() - last.time.getTime();
  return isOfSameDump(last.header, record.header, pauseMs) && !numbers.has(part);
}

/** The number that a record would have of which nothing is known, where it is most likely a dump's next part. */
function likelyNext({ parts, numbers }: Growing, record: HeadedRecord): number | undefined {
  const last = parts.at(-1);
  const part = last && partOf(last);
  if (last === undefined || part === undefined || last.header?.last === true) return undefined;
  const isNext =
    !numbers.has(part + 1) && mayContinue(asUnread(last), asUnread(record), parts.length);
  return isNext ? part + 1 : undefined;
}

const familyKey = ({ guest, name, path }: HeadedRecord): string =>
  `${guest}/${familyOf(name)}/${path.slice(0, path.lastIndexOf("/"))}`;

const asUnread = ({ compressed, time }: HeadedRecord) => ({ compressed, timeMs: time.getTime() });

/** Whether these records are just what is missing of a dump, or of one that begins, before a part. */
function areMissing(
  growing: Growing | undefined,
  record: HeadedRecord,
  part: number,
  unread: readonly HeadedRecord[],
): boolean {
  if (unread.length === 0) return false;
  const last = growing?.parts.at(-1);
  const before = (last && partOf(last)) ?? 0;
  if (part - before - 1 !== unread.length) return false;
  for (let number = before + 1; number < part; number++) {
    if (growing?.numbers.has(number) === true) return false;
  }
  // Of one dump, none comes so long after another.
  const times = [...(last === undefined ? [] : [last]), ...unread, record].map(({ time }) => +time);
  return times.every((ms, i) => Math.abs(ms - (times[i - 1] ?? ms)) <= LATE_MS);
}

/**
 * Puts records together to dumps, oldest first: those that isOfSameDump() says, but for another part of a
 * number that is there; with a boot id and the dump's time also those whose files' times say otherwise. Without
 * a boot id a dump also ends where any other record follows. Records without a header that can be read are the
 * parts that are missing where they stand, if these are as many. Where no part of theirs can follow, because
 * nothing does or a dump begins, they are of the dump before, if they came just behind it. Each is a
 * dump of its own otherwise.
 */
export function groupDumps(records: readonly HeadedRecord[]): Dump[] {
  const dumps: Growing[] = [];
  const families = new Map<string, Family>();
  /** By guest and type, which are put in order by time; their own dumps stay in that of their ids. */
  const orders = new Map<string, number>();

  function begin(record: HeadedRecord, type: DumpTypeName, header?: RecordHeader): Growing {
    const { guest, time } = record;
    // As the kernel calls a dump that has no reason.
    const reason = header?.reason ?? (isText(record) ? "Unknown" : "unreadable");
    const { count = 0, boot, oldestFirst = false } = header ?? {};
    const of = `${guest}/${type}`;
    const order = Math.max(time.getTime(), orders.get(of) ?? 0);
    orders.set(of, order);
    const numbers = new Set<number>();
    const parts: DumpPart[] = [];
    const dump = { guest, type, reason, count, boot, time, oldestFirst, parts, numbers, order };
    dumps.push(dump);
    return dump;
  }

  function add({ parts, numbers }: Growing, record: HeadedRecord, part: number | undefined): void {
    if (part === undefined) parts.push(record);
    else {
      parts.push(record.header === undefined ? { ...record, supposedPart: part } : record);
      numbers.add(part);
    }
  }

  /** `beginsAnew`: no part of theirs can follow. */
  function addUnread({ latest, unread }: Family, beginsAnew: boolean): void {
    for (const record of unread) {
      if (!isDump(record.type)) continue;
      const next = beginsAnew && latest !== undefined ? likelyNext(latest, record) : undefined;
      if (latest !== undefined && next !== undefined) add(latest, record, next);
      else add(begin(record, record.type), record, undefined);
    }
  }

  for (const record of records) {
    const { header, type } = record;
    if (!isDump(type)) continue;
    const of = familyKey(record);
    let family = families.get(of);
    if (family === undefined) {
      family = { newest: new Map(), latest: undefined, unread: [] };
      families.set(of, family);
    }
    if (header === undefined) {
      family.unread.push(record);
      continue;
    }
    const { newest, unread } = family;
    const { boot, part } = header;
    const key = dumpKey(header);
    const last = newest.get(key);
    let there = last !== undefined && continues(last, record) ? last : undefined;
    let fit = areMissing(there, record, part, unread);
    // With a boot id nothing of another boot can be taken for this one's: order means nothing.
    if (there !== undefined && boot === undefined && unread.length > 0 && !fit) {
      there = undefined;
      fit = areMissing(there, record, part, unread);
    }
    if (!fit) addUnread(family, part === 1);
    const missing = fit ? unread : [];
    const growing = there ?? begin(missing[0] ?? record, type, header);
    newest.set(key, growing);
    missing.forEach((one, i) => {
      add(growing, one, part - missing.length + i);
    });
    add(growing, record, part);
    family.latest = growing;
    if (unread.length > 0) family.unread = [];
  }
  for (const family of families.values()) addUnread(family, true);
  return dumps.sort((a, b) => a.order - b.order);
}
