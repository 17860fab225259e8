import type { DecodedRecord } from "./records.js";

/** The parts of one dump, part 1 (the newest text) first, as they were written. */
export interface Dump {
  readonly guest: string;
  readonly reason: string;
  readonly count: number;
  readonly time: Date;
  readonly parts: readonly DecodedRecord[];
}

/**
 * Puts records together to dumps, oldest first. A guest writes a dump's parts one after another, part 1
 * first, so a dump ends where a record of another reason or count follows, or a part that isn't higher.
 */
export function groupDumps(records: readonly DecodedRecord[]): Dump[] {
  const dumps: (Dump & { readonly parts: DecodedRecord[]; readonly order: number })[] = [];
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

/** A dump's text: its parts joined oldest first. What can't be read is said where it is missing. */
export function joinDump(dump: Dump): Buffer {
  const pieces: Buffer[] = [];
  let expected: number | undefined;
  for (const record of [...dump.parts].reverse()) {
    const part = record.header?.part;
    if (part !== undefined && expected !== undefined && part < expected) {
      pieces.push(Buffer.from(missing(part + 1, expected)));
    }
    pieces.push(
      record.text ??
        Buffer.from(
          `[virtio-pstore: ${record.path} can't be decompressed: ${record.size} bytes]\n`,
        ),
    );
    if (part !== undefined) expected = part - 1;
  }
  if (expected !== undefined && expected > 0) pieces.push(Buffer.from(missing(1, expected)));
  return Buffer.concat(pieces);
}

function missing(first: number, last: number): string {
  const parts = first === last ? `part ${first} is` : `parts ${last} to ${first} are`;
  return `[virtio-pstore: ${parts} missing]\n`;
}
