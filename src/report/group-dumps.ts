import {
  type DumpTypeName,
  isDump,
  isOfSameDump,
  LATE_MS,
  type RecordHeader,
} from "../store/layout.js";
import type { HeadedRecord } from "./decode.js";
import type { Dump, DumpPart } from "./dumps.js";

/** A dump to which parts may still be added. */
interface Growing {
  readonly dump: Dump & { readonly parts: DumpPart[]; readonly order: number };
  readonly numbers: Set<number>;
}

/**
 * Whether a record goes on with the newest dump of its place, where so many `unread` ones without a
 * header stand before it.
 */
function continues(
  growing: Growing,
  record: HeadedRecord,
  unread: readonly HeadedRecord[],
): boolean {
  const { dump, numbers } = growing;
  const last = dump.parts.at(-1);
  if (last?.header === undefined || record.header === undefined) return false;
  const pauseMs = record.time.getTime() - last.time.getTime();
  if (!isOfSameDump(last.header, record.header, pauseMs)) return false;
  const { boot, part } = record.header;
  // With a boot id nothing of another boot can be taken for this one's: order means nothing.
  if (boot !== undefined) return !numbers.has(part);
  return unread.length === 0 || areMissing(growing, record, part, unread);
}

/** Whether these records are just what is missing of a dump, or of one that begins, before a part. */
function areMissing(
  growing: Growing | undefined,
  record: HeadedRecord,
  part: number,
  unread: readonly HeadedRecord[],
): boolean {
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
 * number that is there. Without a boot id a dump also ends where any other record follows. Records without a header that
 * can be read are the parts that are missing where they stand, if these are as many; each is a dump of
 * its own otherwise.
 */
export function groupDumps(records: readonly HeadedRecord[]): Dump[] {
  const dumps: Growing["dump"][] = [];
  const newest = new Map<string, Growing>();
  /** Those without a header since the last that has one, by guest and type. */
  const unread = new Map<string, HeadedRecord[]>();
  /** By guest and type, which are put in order by time; their own dumps stay in that of their ids. */
  const orders = new Map<string, number>();

  function begin(
    { guest, time }: HeadedRecord,
    type: DumpTypeName,
    header?: RecordHeader,
  ): Growing {
    const { reason = "unreadable", count = 0, boot, oldestFirst = false } = header ?? {};
    const order = Math.max(time.getTime(), orders.get(`${guest}/${type}`) ?? 0);
    orders.set(`${guest}/${type}`, order);
    const begun = { guest, type, reason, count, time, oldestFirst, parts: [], order };
    const dump = boot === undefined ? begun : { ...begun, boot };
    dumps.push(dump);
    return { dump, numbers: new Set() };
  }

  function add({ dump, numbers }: Growing, record: HeadedRecord, part: number | undefined): void {
    dump.parts.push({ ...record, part });
    if (part !== undefined) numbers.add(part);
  }

  function alone(record: HeadedRecord): void {
    if (isDump(record.type)) add(begin(record, record.type), record, undefined);
  }

  for (const record of records) {
    const { header, guest, type } = record;
    if (!isDump(type)) continue;
    const before = unread.get(`${guest}/${type}`) ?? [];
    if (header === undefined) {
      unread.set(`${guest}/${type}`, before);
      before.push(record);
      continue;
    }
    unread.delete(`${guest}/${type}`);
    const { reason, count, boot, part } = header;
    // Where there is no boot id, all of a guest's dumps share one place: the newest ends the others.
    const place = `${guest}/${type}/${boot === undefined ? "" : `${boot}/${reason}/${count}`}`;
    const last = newest.get(place);
    const there = last && continues(last, record, before) ? last : undefined;
    const fit = areMissing(there, record, part, before);
    if (!fit) before.forEach(alone);
    const missing = fit ? before : [];
    const growing = there ?? begin(missing[0] ?? record, type, header);
    newest.set(place, growing);
    missing.forEach((one, i) => {
      add(growing, one, part - missing.length + i);
    });
    add(growing, record, part);
  }
  for (const one of [...unread.values()].flat()) alone(one);
  return dumps.sort((a, b) => a.order - b.order);
}
