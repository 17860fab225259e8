/** The types of records that a directory holds. */
export type RecordTypeName = "dmesg" | "console";

/** What a record's file name says: `dmesg-1.enc.z` is type dmesg, id 1, compressed. */
export interface RecordName {
  readonly type: RecordTypeName;
  readonly id: bigint;
  readonly compressed: boolean;
}

const PATTERN = /^(dmesg|console)-([1-9][0-9]{0,19})(\.enc\.z)?$/;
/** Half of u64: what comes after it still fits the wire. */
export const MAX_ID = (1n << 63n) - 1n;

/** The file name of a record, as in 2016: type, id, and `.enc.z` where the guest compressed it. */
export function formatRecordName({ type, id, compressed }: RecordName): string {
  return `${type}-${id}${compressed ? ".enc.z" : ""}`;
}

/** Undefined where `name` is no record's. */
export function parseRecordName(name: string): RecordName | undefined {
  const match = PATTERN.exec(name);
  if (match === null) return undefined;
  const id = BigInt(match[2] ?? "0");
  if (id > MAX_ID) return undefined;
  return { type: match[1] as RecordTypeName, id, compressed: match[3] !== undefined };
}

/** Ascending ids: the order in which records were stored. */
export function compareRecords(a: RecordName, b: RecordName): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}
