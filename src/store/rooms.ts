import type { RecordTypeName } from "./record-name.js";

/** What the records of one type may take in a directory. */
export interface Room {
  readonly records: number;
  /** Of all its records together. */
  readonly bytes: number;
  /** Of one record: a stream goes on for as long as its boot does. */
  readonly recordBytes: number;
}

export type Rooms = Readonly<Record<RecordTypeName, Room>>;

const MIB = 1 << 20;

/**
 * Bounds what a guest can make us keep. Each type has its own room, so a flood of one pushes no other
 * out: an ftrace flood not the kernel's log, a loud console not the dumps.
 */
export const DEFAULT_ROOMS: Rooms = {
  dmesg: { records: 1000, bytes: 256 * MIB, recordBytes: 256 * MIB },
  ftrace: { records: 100, bytes: 256 * MIB, recordBytes: 256 * MIB },
  console: { records: 1000, bytes: 1024 * MIB, recordBytes: 64 * MIB },
  pmsg: { records: 1000, bytes: 256 * MIB, recordBytes: 16 * MIB },
};

/** How much of each type there is. */
export class Usage {
  readonly #rooms: Rooms;
  readonly #used = new Map<RecordTypeName, { records: number; bytes: number }>();

  constructor(rooms: Rooms) {
    this.#rooms = rooms;
  }

  clear(): void {
    this.#used.clear();
  }

  add(type: RecordTypeName, records: number, bytes: number): void {
    const used = this.#used.get(type) ?? { records: 0, bytes: 0 };
    this.#used.set(type, {
      records: Math.max(0, used.records + records),
      bytes: Math.max(0, used.bytes + bytes),
    });
  }

  /** Whether so many records and bytes more are within the type's room. */
  hasRoom(type: RecordTypeName, records: number, bytes: number): boolean {
    const used = this.#used.get(type) ?? { records: 0, bytes: 0 };
    const room = this.#rooms[type];
    return used.records + records <= room.records && used.bytes + bytes <= room.bytes;
  }
}
