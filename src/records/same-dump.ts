import type { RecordHeader } from "./dump-header.js";

/**
 * A guest waits 5 s for its host at most. What comes so long after a part belongs to another dump,
 * whatever it says: a guest can read the first lines of its dumps, and send them again.
 */
export const LATE_MS = 10_000;

/** A guest writes the parts of one dump without a pause; those that it compressed are told apart by it. */
const PAUSE_MS = 2000;

/** And take no more than so many for one dump: pstore ends one at 10 KiB by default. */
const MAX_COMPRESSED = 64;

/**
 * A part can be of its guest's newest dump with the same key. All that don't tell their boot have one key: the newest
 * ends the others.
 */
export const dumpKey = ({ boot, reason, count, guestTime = "" }: RecordHeader): string =>
  boot === undefined ? "" : `${boot}/${reason}/${count}/${guestTime}`;

/**
 * Whether a part can be of a dump whose newest part is `former`, which came `pauseMs` before it: one of
 * the same reason, count, boot and time that hasn't ended. Without a boot id its parts go up, for a guest
 * writes them one after another, and counts anew with each boot.
 */
export function isOfSameDump(former: RecordHeader, next: RecordHeader, pauseMs: number): boolean {
  const { reason, count, boot, guestTime, part } = next;
  if (former.reason !== reason || former.count !== count) return false;
  // A guest that is set back to a snapshot has the same boot again.
  if (former.boot !== boot || former.guestTime !== guestTime) return false;
  // The host's clock may be set back.
  if (former.last === true || Math.abs(pauseMs) > LATE_MS) return false;
  return boot !== undefined || former.part < part;
}

/** What is known of a record that the guest may have compressed. */
export interface UnreadPart {
  readonly compressed: boolean;
  readonly timeMs: number;
}

/** Whether a compressed record of which nothing is known can be of the dump whose newest part is `former`. */
export const mayContinue = (former: UnreadPart, next: UnreadPart, parts: number): boolean =>
  former.compressed &&
  next.compressed &&
  Math.abs(next.timeMs - former.timeMs) <= PAUSE_MS &&
  parts < MAX_COMPRESSED;

/** What is known of a dump's record when only its beginning was read. */
export interface PartBeginning extends UnreadPart {
  /** Undefined where it has no such line, or the guest compressed it. */
  readonly header: RecordHeader | undefined;
}

/** Whether a record goes on with the dump whose newest one is `former`, and which has so many parts. */
export function goesOn(former: PartBeginning, next: PartBeginning, parts: number): boolean {
  if (next.header === undefined) return mayContinue(former, next, parts);
  const pauseMs = next.timeMs - former.timeMs;
  return former.header !== undefined && isOfSameDump(former.header, next.header, pauseMs);
}
