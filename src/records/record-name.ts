/** Records that one WRITE makes. */
export type DumpTypeName = "dmesg" | "ftrace";

/** Records that all WRITEs of a boot are appended to. */
export type StreamTypeName = "console" | "pmsg";

/** The types of records that a directory holds. */
export type RecordTypeName = DumpTypeName | StreamTypeName;

export const RECORD_TYPES = ["dmesg", "console", "ftrace", "pmsg"] as const;

export const isRecordType = (word: string): word is RecordTypeName =>
  RECORD_TYPES.some((type) => type === word);

export const isStream = (type: string): type is StreamTypeName =>
  type === "console" || type === "pmsg";

export const isDump = (type: string): type is DumpTypeName => type === "dmesg" || type === "ftrace";

/** What a record's file name says: `dmesg-1.enc.z` is type dmesg, id 1, compressed. */
export interface RecordName {
  readonly type: RecordTypeName;
  readonly id: bigint;
  /** By the guest, with whatever it uses. */
  readonly compressed: boolean;
  /** By us, with gzip (`--compress`): the guest knows nothing of it. */
  readonly gzip?: boolean;
}

/** `dmesg-1`: the name without what says how it is compressed. */
export const recordKey = ({ type, id }: Pick<RecordName, "type" | "id">): string => `${type}-${id}`;

const PATTERN = /^(dmesg|console|ftrace|pmsg)-([1-9][0-9]{0,19})(\.enc\.z|\.gz)?$/;

/** Half of u64: what comes after it still fits the wire. */
export const MAX_ID = (1n << 63n) - 1n;

/**
 * The file name of a record, as in 2016: type, id, and `.enc.z` where the guest compressed it. What we
 * compress ends in `.gz`, which any tool opens, and which no reader of 2016's names takes for the guest's.
 */
export function formatRecordName({ type, id, compressed, gzip }: RecordName): string {
  return `${type}-${id}${compressed ? ".enc.z" : gzip === true ? ".gz" : ""}`;
}

/** Undefined where `name` is no record's. */
export function parseRecordName(name: string): RecordName | undefined {
  const match = PATTERN.exec(name);
  if (match === null) return undefined;
  const type = match[1] as RecordTypeName;
  const id = BigInt(match[2] ?? "0");
  const suffix = match[3];
  if (id > MAX_ID) return undefined;
  const record = { type, id, compressed: suffix === ".enc.z" };
  return suffix === ".gz" ? { ...record, gzip: true } : record;
}

/** Ascending ids: the order in which records were stored. */
export function compareRecords(a: Pick<RecordName, "id">, b: Pick<RecordName, "id">): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

/** A place in the order of records. Their owner may have put two of one id there, of different types. */
export type RecordPosition = Pick<RecordName, "id" | "type">;
