import type { RecordTypeName } from "../records/record-name.js";
import { MAX_SEGMENT_BYTES } from "../records/stream-segment.js";

/** What the records of one type may take in a directory. */
export interface Quota {
  readonly records: number;
  /** Of all its records together. */
  readonly bytes: number;
}

export type Quotas = Readonly<Record<RecordTypeName, Quota>>;

const MIB = 1 << 20;

/**
 * Bounds what a guest can make us keep. Each type has its own quota, so a flood of one pushes no other
 * out: an ftrace flood not the kernel's log, a loud console not the dumps.
 */
export const DEFAULT_QUOTAS: Quotas = {
  dmesg: { records: 1000, bytes: 256 * MIB },
  ftrace: { records: 1000, bytes: 256 * MIB },
  console: { records: 1000, bytes: 1024 * MIB },
  pmsg: { records: 1000, bytes: 256 * MIB },
};

/** A stream goes on in another file behind so many bytes: a small quota has eight such files, too. */
export function segmentBytes({ bytes }: Quota): number {
  return Math.min(MAX_SEGMENT_BYTES, Math.ceil(bytes / 8));
}

export const sum = (a: Quota, b: Quota): Quota => ({
  records: a.records + b.records,
  bytes: a.bytes + b.bytes,
});

export const fits = ({ records, bytes }: Quota, quota: Quota): boolean =>
  records <= quota.records && bytes <= quota.bytes;

/** Whether so much is no more than half of the quota, or a single record of half of its bytes at most. */
export const isHalf = ({ records, bytes }: Quota, quota: Quota): boolean =>
  records <= Math.max(1, quota.records / 2) && bytes <= quota.bytes / 2;
