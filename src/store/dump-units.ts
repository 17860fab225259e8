import type { RecordHeader } from "./dump-header.js";
import type { RecordEntry } from "./record-table.js";
import type { Unit } from "./retention.js";

/** A guest writes the parts of one dump without a pause; those that it compressed are told apart by it. */
const PAUSE_MS = 2000;

/** And take no more than so many for one dump: pstore ends one at 10 KiB by default. */
const MAX_COMPRESSED = 64;

/** What is known of a record without all of its data. */
export interface DumpPart {
  readonly entry: RecordEntry;
  /** Undefined where it has none, or the guest compressed it. */
  readonly header: RecordHeader | undefined;
}

interface Growing {
  readonly records: RecordEntry[];
  bytes: number;
  last: DumpPart;
}

/**
 * Puts records of one type, oldest first, together to dumps. With a boot id those of one boot, reason and
 * count belong together, whatever lies between them. Without one, or compressed, only what follows on
 * each other does. The dump that was written to last is the last.
 */
export function dumpUnits(parts: readonly DumpPart[]): Unit[] {
  const named = new Map<string, Growing>();
  const dumps: Growing[] = [];
  let newest: Growing | undefined;
  for (const part of parts) {
    const { entry, header } = part;
    const name = header?.boot && `${header.boot}/${header.reason}/${header.count}`;
    const found = name === undefined ? newest : named.get(name);
    if (found !== undefined && (name !== undefined || follows(found, part))) {
      found.records.push(entry);
      found.bytes += entry.size;
      found.last = part;
    } else {
      const begun = { records: [entry], bytes: entry.size, last: part };
      dumps.push(begun);
      if (name === undefined) newest = begun;
      else named.set(name, begun);
    }
  }
  return dumps
    .sort((a, b) => (a.last.entry.name.id < b.last.entry.name.id ? -1 : 1))
    .map(({ records, bytes }) => ({
      records,
      bytes,
      timeMs: records[0]?.timeMs ?? 0,
      busy: records.some(({ pending }) => pending === true),
      beginning: false,
    }));
}

/** Without a boot id: whether a part goes on with the dump before it. */
function follows({ last, records }: Growing, { entry, header }: DumpPart): boolean {
  if (header !== undefined) {
    const former = last.header;
    return (
      former?.reason === header.reason && former.count === header.count && former.part < header.part
    );
  }
  return (
    entry.name.compressed &&
    last.entry.name.compressed &&
    records.length < MAX_COMPRESSED &&
    entry.timeMs - last.entry.timeMs <= PAUSE_MS
  );
}
