import type { CperRecord } from "./cper.js";
import { CREATOR_PSTORE, SECTION_DMESG, SECTION_DMESG_Z, SECTION_MCE } from "./guid.js";

/** What pstore calls a record's type; `unknown` is what somebody else than Linux's pstore wrote. */
export type ErstRecordType = "dmesg" | "mce" | "unknown";

/** What is of use in a record: the part of a dump in it, or the record itself. */
export interface Payload {
  readonly type: ErstRecordType;
  readonly compressed: boolean;
  /** Bytes from the record's begin. */
  readonly offset: number;
  /** In bytes. */
  readonly length: number;
}

/**
 * What a record holds. A dump's part is its section's body, as Linux's pstore writes it; everything else,
 * machine checks included, is kept as the whole record.
 */
export function payloadOf(record: CperRecord): Payload {
  const [section, ...others] = record.sections;
  const whole = { compressed: false, offset: 0, length: record.length };
  if (record.creator !== CREATOR_PSTORE || section === undefined || others.length > 0) {
    return { type: "unknown", ...whole };
  }
  const { type, offset, length } = section;
  if (type === SECTION_MCE) return { type: "mce", ...whole };
  if (type !== SECTION_DMESG && type !== SECTION_DMESG_Z) return { type: "unknown", ...whole };
  return { type: "dmesg", compressed: type === SECTION_DMESG_Z, offset, length };
}

/**
 * When the record was made, by the guest's clock. Linux's pstore puts the seconds since 1970 there, and
 * everybody else what UEFI 2.10, appendix N.2.1 says: BCD digits. Undefined where it says nothing.
 */
export function timeOf({ creator, timestamp }: CperRecord): Date | undefined {
  if (timestamp === undefined) return undefined;
  if (creator === CREATOR_PSTORE) {
    // 8.64e12 s is as far as a Date goes.
    return timestamp < 8_640_000_000_000n ? new Date(Number(timestamp) * 1000) : undefined;
  }
  const byte = (i: number) => Number((timestamp >> BigInt(8 * i)) & 0xffn);
  const bcd = (i: number) => (byte(i) >> 4) * 10 + (byte(i) & 0xf);
  const time = Date.UTC(bcd(7) * 100 + bcd(6), bcd(5) - 1, bcd(4), bcd(2), bcd(1), bcd(0));
  return bcd(7) === 0 || Number.isNaN(time) ? undefined : new Date(time);
}
