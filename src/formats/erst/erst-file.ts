import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { errno, SystemError } from "../../os/errno.js";
import { type CperRecord, HEADER, parseCper } from "./cper.js";
import { badField, ErstError } from "./errors.js";
import {
  type ErstHeader,
  encodeHeader,
  FIELD,
  FIXED_BYTES,
  isNoId,
  MAP_ENTRY_BYTES,
  parseHeader,
  UNSPECIFIED_ID,
} from "./header.js";

/** A slot that the map says is used. */
export interface ErstSlot {
  /** Of the slot; the header's own slots count. */
  readonly index: number;
  /** The record's id, as the map has it. */
  readonly id: bigint;
  /** Of the slot: bytes from the file's begin. */
  readonly offset: number;
  /** Undefined where the slot is damaged. */
  readonly record: CperRecord | undefined;
  /** What is wrong with it, and at which offset of the file. */
  readonly damage: string | undefined;
}

/** What a slot's bytes, or those of its record alone, hold. */
export function parseSlot(
  slot: Pick<ErstSlot, "index" | "id" | "offset">,
  bytes: Uint8Array,
): ErstSlot {
  const { id, offset } = slot;
  try {
    const record = parseCper(bytes);
    const damage =
      record.id === id
        ? undefined
        : `offset ${offset}: record 0x${record.id.toString(16)} in the slot of 0x${id.toString(16)}`;
    return { ...slot, record: damage === undefined ? record : undefined, damage };
  } catch (error) {
    if (!(error instanceof ErstError)) throw error;
    const at = error.offset === undefined ? offset : offset + error.offset;
    const damage = `offset ${at}: ${error.message.replace(/^offset \d+: /, "")}`;
    return { ...slot, record: undefined, damage };
  }
}

/**
 * The file behind QEMU's acpi-erst device (QEMU, docs/specs/acpi_erst.rst): a header with a map of
 * record ids, and slots of one size with a record each. Everything is read when it is asked for: a
 * running QEMU changes the file through a mapping.
 */
export class ErstFile {
  readonly path: string;
  readonly #fd: number;

  /** Opens the file; to change it, `writable` has to be set. Throws the system call's error. */
  constructor(path: string, { writable = false } = {}) {
    this.path = path;
    const { O_NONBLOCK, O_RDONLY, O_RDWR } = constants;
    this.#fd = openSync(path, (writable ? O_RDWR : O_RDONLY) | O_NONBLOCK);
  }

  /** Makes a store without records, and fails where the file is there. Throws ErstError for the sizes. */
  static create(path: string, fileBytes: number, recordSize: number): void {
    const header = encodeHeader(fileBytes, recordSize);
    const { O_CREAT, O_EXCL, O_WRONLY } = constants;
    const fd = openSync(path, O_WRONLY | O_CREAT | O_EXCL, 0o600);
    try {
      // The last byte makes the rest zeros: free slots.
      writeSync(fd, new Uint8Array(1), 0, 1, fileBytes - 1);
      writeSync(fd, header, 0, header.length, 0);
      fsyncSync(fd);
    } catch (error) {
      unlinkSync(path);
      throw error instanceof Error ? Object.assign(error, { path }) : error;
    } finally {
      closeSync(fd);
    }
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** Undefined where QEMU has not made it yet. Throws ErstError for what is no store. */
  header(): ErstHeader | undefined {
    const found = fstatSync(this.#fd);
    if (!found.isFile()) throw new ErstError("NOT_ERST", "it is no file");
    const bytes = this.#read(0, Math.min(found.size, FIXED_BYTES));
    return parseHeader(bytes, found.size);
  }

  /** The ids of the map, by slot: of the records, not of the slots that the header takes. */
  ids(header: ErstHeader): Map<number, bigint> {
    const { firstSlot, slots } = header;
    const from = FIELD.map + firstSlot * MAP_ENTRY_BYTES;
    const map = this.#read(from, from + (slots - firstSlot) * MAP_ENTRY_BYTES);
    const ids = new Map<number, bigint>();
    for (let slot = firstSlot; slot < slots; slot++) {
      const id = map.readBigUInt64LE((slot - firstSlot) * MAP_ENTRY_BYTES);
      if (!isNoId(id)) ids.set(slot, id);
    }
    return ids;
  }

  /** The slots that are used, in the order of their ids: the order in which a guest wrote them. */
  slots(header = this.header()): ErstSlot[] {
    if (header === undefined) return [];
    return [...this.ids(header)]
      .map(([index, id]) => this.slot(header, index, id))
      .sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : a.index - b.index));
  }

  /** One slot, whose id the map has as `id`. */
  slot({ recordSize }: ErstHeader, index: number, id: bigint): ErstSlot {
    const offset = index * recordSize;
    return parseSlot({ index, id, offset }, this.#read(offset, offset + recordSize));
  }

  /** The bytes [from, to) of a slot's record. */
  read({ offset }: Pick<ErstSlot, "offset">, from: number, to: number): Buffer {
    return this.#read(offset + from, offset + to);
  }

  /**
   * Writes a record into its slot, or into a free one, as the device does; it is durable on return. The
   * caller has seen that nobody else uses the file. Throws ErstError for what is no record, ENOSPC where
   * no slot is free.
   */
  write(record: Uint8Array): void {
    const header = this.header();
    if (header === undefined) throw new ErstError("NOT_ERST", "QEMU hasn't made the store yet");
    const { id, length } = parseCper(record);
    if (isNoId(id))
      throw badField(HEADER.recordId, `the record id 0x${id.toString(16)} means none`);
    const slot = Buffer.alloc(header.recordSize, 0xff);
    if (length > slot.length) throw badField(HEADER.recordLength, `no slot holds ${length} bytes`);
    slot.set(record.subarray(0, length));
    const known = this.#slotOf(header, id);
    const index = known ?? this.#freeSlot(header);
    if (index === undefined) throw new SystemError("write", errno.ENOSPC, this.path);
    this.#write(slot, index * header.recordSize);
    if (known === undefined) this.#writeCount(header.recordCount + 1);
    // The record is whole before the map says that it is there.
    fsyncSync(this.#fd);
    if (known === undefined) this.#writeId(index, id);
    fsyncSync(this.#fd);
  }

  /**
   * Frees slots as the device does: their ids in the map, then the count. The bytes stay. The caller has
   * seen that nobody else uses the file. Throws ErstError where a slot isn't that record's; then none is
   * freed.
   */
  clear(slots: readonly Pick<ErstSlot, "index" | "id">[]): void {
    const header = this.header();
    const ids = header === undefined ? undefined : this.ids(header);
    for (const { index, id } of slots) {
      if (!isNoId(id) && ids?.get(index) === id) continue;
      throw new ErstError("NO_RECORD", `no record 0x${id.toString(16)} in slot ${index}`);
    }
    if (header === undefined || slots.length === 0) return;
    for (const { index } of slots) this.#writeId(index, UNSPECIFIED_ID);
    this.#writeCount(Math.max(0, header.recordCount - slots.length));
    fsyncSync(this.#fd);
  }

  #slotOf(header: ErstHeader, id: bigint): number | undefined {
    return [...this.ids(header)].find(([, found]) => found === id)?.[0];
  }

  #freeSlot(header: ErstHeader): number | undefined {
    const used = this.ids(header);
    for (let index = header.firstSlot; index < header.slots; index++) {
      if (!used.has(index)) return index;
    }
    return undefined;
  }

  #writeId(index: number, id: bigint): void {
    const entry = Buffer.alloc(MAP_ENTRY_BYTES);
    entry.writeBigUInt64LE(id);
    this.#write(entry, FIELD.map + index * MAP_ENTRY_BYTES);
  }

  #writeCount(records: number): void {
    const count = Buffer.alloc(4);
    count.writeUInt32LE(records);
    this.#write(count, FIELD.recordCount);
  }

  #write(bytes: Uint8Array, position: number): void {
    for (let done = 0; done < bytes.length; ) {
      done += writeSync(this.#fd, bytes, done, bytes.length - done, position + done);
    }
  }

  #read(from: number, to: number): Buffer {
    const bytes = Buffer.alloc(to - from);
    let got = 0;
    while (got < bytes.length) {
      const count = readSync(this.#fd, bytes, got, bytes.length - got, from + got);
      if (count === 0) throw new ErstError("CUT", `the file ends at offset ${from + got}`);
      got += count;
    }
    return bytes;
  }
}
