/** What a dump's first line says: pstore's own `Panic#1 Part2`, or our driver's with more behind it. */
export interface RecordHeader {
  /** Why the dump was made: Panic, Oops, … */
  readonly reason: string;
  /** Oopses and panics since boot, this one included. */
  readonly count: number;
  /** From 1 on. */
  readonly part: number;
  /** The guest's boot, as 32 hexadecimal digits. */
  readonly boot?: string;
  /** By the guest's clock: seconds since 1970-01-01 UTC and nine digits. */
  readonly guestTime?: string;
  /** Part 1 holds the oldest text; without it, as pstore's core counts, the newest. */
  readonly oldestFirst?: true;
  /** No part follows. Only told where the text is oldest first. */
  readonly last?: true;
  /** What follows are records of printk's ring as they lay in the guest's memory. */
  readonly printkRing?: true;
}

const REASON = "[A-Z][A-Za-z ]{0,99}";
const BOOT = "[0-9a-f]{32}";
const GUEST_TIME = String.raw`[0-9]{1,12}\.[0-9]{9}`;

/** What a header's texts look like. */
export const HEADER_TEXTS = {
  reason: new RegExp(`^${REASON}$`),
  boot: new RegExp(`^${BOOT}$`),
  guestTime: new RegExp(`^${GUEST_TIME}$`),
} satisfies Partial<Record<keyof RecordHeader, RegExp>>;

/**
 * pstore's own first line (fs/pstore/platform.c), whose numbers are 32 bits wide, and words of our
 * driver behind it. Words that aren't known are passed over: a later driver may have more to say. A copy may have
 * another system's line ends.
 */
const HEADER = new RegExp(
  `^(${REASON})#([0-9]{1,10}) Part([0-9]{1,10})((?: [!-~]{1,80}){0,8})\\r?\\n`,
);
const BOOT_WORD = new RegExp(`^boot=(${BOOT})$`);
const TIME_WORD = new RegExp(`^time=(${GUEST_TIME})$`);

/** Longer than any header: no more of a record is looked at. */
export const MAX_HEADER_BYTES = 512;

/** The first line of a dump's part, and its length; undefined where it is none. */
export function parseHeader(
  text: Uint8Array,
): { readonly header: RecordHeader; readonly bytes: number } | undefined {
  const match = HEADER.exec(Buffer.from(text.subarray(0, MAX_HEADER_BYTES)).toString("latin1"));
  if (match === null) return undefined;
  const [line, reason = "", count, part, rest = ""] = match;
  const words = rest.split(" ");
  const value = (pattern: RegExp) =>
    words.map((word) => pattern.exec(word)?.[1]).find((found) => found !== undefined);
  const boot = value(BOOT_WORD);
  const guestTime = value(TIME_WORD);
  const header: RecordHeader = {
    reason,
    count: Number(count),
    part: Number(part),
    ...(boot === undefined ? {} : { boot }),
    ...(guestTime === undefined ? {} : { guestTime }),
    ...(words.includes("oldest-first") ? { oldestFirst: true } : {}),
    ...(words.includes("last") ? { last: true } : {}),
    ...(words.includes("printk-ring") ? { printkRing: true } : {}),
  };
  return { header, bytes: line.length };
}
