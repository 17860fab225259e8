import type { RecordTypeName } from "../records/record-name.js";
import { MAX_SEGMENT_BYTES } from "../records/stream-segment.js";

/** What the records of one type may take in a directory. */
export interface Room {
  readonly records: number;
  /** Of all its records together. */
  readonly bytes: number;
}

export type Rooms = Readonly<Record<RecordTypeName, Room>>;

const MIB = 1 << 20;

/**
 * Bounds what a guest can make us keep. Each type has its own room, so a flood of one pushes no other
 * out: an ftrace flood not the kernel's log, a loud console not the dumps.
 */
export const DEFAULT_ROOMS: Rooms = {
  dmesg: { records: 1000, bytes: 256 * MIB },
  ftrace: { records: 1000, bytes: 256 * MIB },
  console: { records: 1000, bytes: 1024 * MIB },
  pmsg: { records: 1000, bytes: 256 * MIB },
};

/** A stream goes on in another file behind so many bytes: a small room has eight such files, too. */
export function segmentBytes({ bytes }: Room): number {
  return Math.min(MAX_SEGMENT_BYTES, Math.ceil(bytes / 8));
}

export const sum = (a: Room, b: Room): Room => ({
  records: a.records + b.records,
  bytes: a.bytes + b.bytes,
});

export const fits = ({ records, bytes }: Room, room: Room): boolean =>
  records <= room.records && bytes <= room.bytes;

/** Whether so much is no more than half of the room, or a single record of half of its bytes at most. */
export const isHalf = ({ records, bytes }: Room, room: Room): boolean =>
  records <= Math.max(1, room.records / 2) && bytes <= room.bytes / 2;
