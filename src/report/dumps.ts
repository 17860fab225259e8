import { type HeadedRecord, recordText } from "./decode.js";

/** The parts of one dump, part 1 (the newest text) first, as they were written. */
export interface Dump {
  readonly guest: string;
  readonly reason: string;
  readonly count: number;
  readonly time: Date;
  readonly parts: readonly HeadedRecord[];
}

/**
 * Puts records together to dumps, oldest first. A guest writes a dump's parts one after another, part 1
 * first, so a dump ends where a record of another reason or count follows, or a part that isn't higher.
 */
export function groupDumps(records: readonly HeadedRecord[]): Dump[] {
  const dumps: (Dump & { readonly parts: HeadedRecord[]; readonly order: number })[] = [];
  const newest = new Map<string, (typeof dumps)[number]>();
  for (const record of records) {
    const { header, guest, time } = record;
    if (record.type !== "dmesg") continue;
    const last = newest.get(guest);
    const lastPart = last?.parts.at(-1)?.header?.part;
    if (
      last !== undefined &&
      header !== undefined &&
      lastPart !== undefined &&
      last.reason === header.reason &&
      last.count === header.count &&
      lastPart < header.part
    ) {
      last.parts.push(record);
    } else {
      const dump = {
        guest,
        reason: header?.reason ?? "unreadable",
        count: header?.count ?? 0,
        time,
        parts: [record],
        // Guests are put in order by time; a guest's own dumps stay in that of their ids.
        order: Math.max(time.getTime(), last?.order ?? 0),
      };
      newest.set(guest, dump);
      dumps.push(dump);
    }
  }
  return dumps.sort((a, b) => a.order - b.order);
}

/**
 * A dump's text in pieces: its parts joined oldest first, one decompressed at a time. What can't be read
 * is said where it is missing.
 */
export function* dumpText(dump: Dump): Generator<Buffer, void, void> {
  let expected: number | undefined;
  for (const record of [...dump.parts].reverse()) {
    const part = record.header?.part;
    if (part !== undefined && expected !== undefined && part < expected) {
      yield Buffer.from(missing(part + 1, expected));
    }
    const text = recordText(record);
    if (text !== undefined) yield* text;
    else yield Buffer.from(unreadable(record));
    if (part !== undefined) expected = part - 1;
  }
  if (expected !== undefined && expected > 0) yield Buffer.from(missing(1, expected));
}

/** A dump's text as a whole, for a dump that is known to be small. */
export function joinDump(dump: Dump): Buffer {
  return Buffer.concat([...dumpText(dump)]);
}

function unreadable({ path, size }: HeadedRecord): string {
  return `[virtio-pstore: ${path} can't be decompressed: ${size} bytes]\n`;
}

function missing(first: number, last: number): string {
  const parts = first === last ? `part ${first} is` : `parts ${last} to ${first} are`;
  return `[virtio-pstore: ${parts} missing]\n`;
}
