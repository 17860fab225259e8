import { basename, dirname } from "node:path";
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
import type { Dump, DumpPart } from "./dumps.js";

/** A dump to which parts may still be added. */
interface Growing {
  readonly dump: Dump & { readonly parts: DumpPart[]; readonly order: number };
  readonly numbers: Set<number>;
}

/** Whether a record is of a dump as far as their headers tell. */
function continues({ dump, numbers }: Growing, record: HeadedRecord): boolean {
  const last = dump.parts.at(-1);
  if (last?.header === undefined || record.header === undefined) return false;
  const { boot, guestTime, part } = record.header;
  // Boot and time say it all, also where the files' times are those of a copy.
  const isKnown = boot !== undefined && guestTime !== undefined;
  const pauseMs = isKnown ? 0 : record.time.getTime() - last.time.getTime();
  return isOfSameDump(last.header, record.header, pauseMs) && !numbers.has(part);
}

/** Whether a record of which nothing is known is most likely a dump's next part. */
function isLikelyNext({ dump, numbers }: Growing, record: HeadedRecord): boolean {
  const last = dump.parts.at(-1);
  if (last?.part === undefined || last.header?.last === true) return false;
  if (numbers.has(last.part + 1)) return false;
  return mayContinue(asUnread(last), asUnread(record), dump.parts.length);
}

/** Dumps of other guests, types and back-ends have nothing to do with each other, nor have those of other folders. */
const groupKey = ({ guest, name, path }: HeadedRecord): string =>
  `${guest}/${familyOf(basename(name))}/${dirname(path)}`;

const asUnread = ({ compressed, time }: HeadedRecord) => ({ compressed, timeMs: time.getTime() });

/** Whether these records are just what is missing of a dump, or of one that begins, before a part. */
function areMissing(
  growing: Growing | undefined,
  record: HeadedRecord,
  part: number,
  unread: readonly HeadedRecord[],
): boolean {
  if (unread.length === 0) return false;
  const last = growing?.dump.parts.at(-1);
  const before = last?.part ?? 0;
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
  const dumps: Growing["dump"][] = [];
  const newest = new Map<string, Growing>();
  /** By guest and type: what was added to last. */
  const latest = new Map<string, Growing>();
  /** Those without a header since the last that has one, by guest and type. */
  const unread = new Map<string, HeadedRecord[]>();
  /** By guest and type, which are put in order by time; their own dumps stay in that of their ids. */
  const orders = new Map<string, number>();

  function begin(record: HeadedRecord, type: DumpTypeName, header?: RecordHeader): Growing {
    const { guest, time } = record;
    // As the kernel calls a dump that has no reason.
    const none = isText(record) ? "Unknown" : "unreadable";
    const { reason = none, count = 0, boot, oldestFirst = false } = header ?? {};
    const order = Math.max(time.getTime(), orders.get(`${guest}/${type}`) ?? 0);
    orders.set(`${guest}/${type}`, order);
    const parts: DumpPart[] = [];
    const dump: Growing["dump"] =
      boot === undefined
        ? { guest, type, reason, count, time, oldestFirst, parts, order }
        : { guest, type, reason, count, time, oldestFirst, parts, order, boot };
    dumps.push(dump);
    return { dump, numbers: new Set() };
  }

  function add({ dump, numbers }: Growing, record: HeadedRecord, part: number | undefined): void {
    dump.parts.push({ ...record, part });
    if (part !== undefined) numbers.add(part);
  }

  /** `beginsAnew`: no part of theirs can follow. */
  function addUnread(some: readonly HeadedRecord[], beginsAnew: boolean): void {
    for (const record of some) {
      const { type } = record;
      if (!isDump(type)) continue;
      const before = latest.get(groupKey(record));
      if (beginsAnew && before !== undefined && isLikelyNext(before, record)) {
        add(before, record, (before.dump.parts.at(-1)?.part ?? 0) + 1);
      } else {
        add(begin(record, type), record, undefined);
      }
    }
  }

  for (const record of records) {
    const { header, type } = record;
    if (!isDump(type)) continue;
    const of = groupKey(record);
    const before = unread.get(of) ?? [];
    if (header === undefined) {
      unread.set(of, before);
      before.push(record);
      continue;
    }
    unread.delete(of);
    const { boot, part } = header;
    const key = `${of}/${dumpKey(header)}`;
    const last = newest.get(key);
    let there = last !== undefined && continues(last, record) ? last : undefined;
    let fit = areMissing(there, record, part, before);
    // With a boot id nothing of another boot can be taken for this one's: order means nothing.
    if (there !== undefined && boot === undefined && before.length > 0 && !fit) {
      there = undefined;
      fit = areMissing(there, record, part, before);
    }
    if (!fit) addUnread(before, part === 1);
    const missing = fit ? before : [];
    const growing = there ?? begin(missing[0] ?? record, type, header);
    newest.set(key, growing);
    latest.set(of, growing);
    missing.forEach((one, i) => {
      add(growing, one, part - missing.length + i);
    });
    add(growing, record, part);
  }
  for (const some of unread.values()) addUnread(some, true);
  return dumps.sort((a, b) => a.order - b.order);
}
