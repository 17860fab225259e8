import { badField, ErstError } from "./errors.js";

/** "ERSTSTOR" */
export const MAGIC = 0x524f545354535245n;

export const VERSION = 0x0100;

/** The fixed part of the header, which the map of record ids follows. */
export const FIXED_BYTES = 24;

/** Of one entry of the map: a record's id, or 0 or all ones where the slot is free. */
export const MAP_ENTRY_BYTES = 8;

/** Record ids that mean none: "unspecified", and the end of a walk (ACPI 6.5, 18.5.1.1). */
export const UNSPECIFIED_ID = 0n;
export const END_ID = 0xffff_ffff_ffff_ffffn;

/** Whether an id is none, as in the map where a slot is free. */
export const isNoId = (id: bigint): boolean => id === UNSPECIFIED_ID || id === END_ID;

/** QEMU takes no smaller records: a page. */
export const SMALLEST_RECORD = 4096;

/** QEMU keeps the store's size in 32 bits. */
export const LARGEST_FILE = 0xffffffff;

/** Offsets in the header; all fields are little-endian (QEMU, hw/acpi/erst.c). */
export const FIELD = {
  magic: 0,
  recordSize: 8,
  storageOffset: 12,
  version: 16,
  reserved: 18,
  recordCount: 20,
  map: 24,
} as const;

/** What the header of an ERST file says. */
export interface ErstHeader {
  /** Of the file, in bytes. */
  readonly fileBytes: number;
  /** Of a slot, and so of the largest record, in bytes. */
  readonly recordSize: number;
  /** Where the first slot that holds a record begins; a multiple of recordSize. */
  readonly storageOffset: number;
  readonly version: number;
  /** How many records the header counts. */
  readonly recordCount: number;
  /** The first slot that may hold a record: slots before it are the header's. */
  readonly firstSlot: number;
  /** Slots in the file, the header's included: the map has an entry for each. */
  readonly slots: number;
}

const isPowerOfTwo = (n: number): boolean => n > 0 && 2 ** Math.floor(Math.log2(n)) === n;

/** The header's bytes, rounded up to whole slots. */
export function storageOffsetFor(fileBytes: number, recordSize: number): number {
  const map = Math.floor(fileBytes / recordSize) * MAP_ENTRY_BYTES;
  return Math.ceil((FIXED_BYTES + map) / recordSize) * recordSize;
}

/** Throws ErstError where no store of this size with such records holds a record. */
export function checkSizes(fileBytes: number, recordSize: number): void {
  const bad = (message: string) => new ErstError("BAD_SIZE", message);
  if (recordSize < SMALLEST_RECORD || !isPowerOfTwo(recordSize)) {
    throw bad(`a record size of ${recordSize}: it must be a power of two of at least 4096`);
  }
  if (fileBytes > LARGEST_FILE) throw bad(`a size of ${fileBytes}: it must be below 4 GiB`);
  if (fileBytes % recordSize !== 0) {
    throw bad(`a size of ${fileBytes}: it must be a multiple of the record size, ${recordSize}`);
  }
  if (storageOffsetFor(fileBytes, recordSize) >= fileBytes) {
    throw bad(`a size of ${fileBytes}: records of ${recordSize} bytes leave no room for any`);
  }
}

/**
 * Reads a header, whose first FIXED_BYTES are `bytes`, of a file of `fileBytes`. Undefined where QEMU
 * has not written one yet: there are zeros, in a file of whole pages. Throws ErstError, with the offset in the file.
 */
export function parseHeader(bytes: Uint8Array, fileBytes: number): ErstHeader | undefined {
  if (bytes.length < FIXED_BYTES) {
    throw new ErstError(
      "CUT",
      `offset ${fileBytes}: the file ends within the header of an ERST store`,
      fileBytes,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const magic = view.getBigUint64(FIELD.magic, true);
  const isNew = bytes.subarray(0, FIXED_BYTES).every((byte) => byte === 0);
  if (isNew && fileBytes % SMALLEST_RECORD === 0 && fileBytes <= LARGEST_FILE) return undefined;
  if (magic !== MAGIC) {
    throw new ErstError("NOT_ERST", `offset ${FIELD.magic}: no ERST store begins like this`, 0);
  }
  const version = view.getUint16(FIELD.version, true);
  if (version !== VERSION) {
    const known = `0x${VERSION.toString(16)}`;
    throw new ErstError(
      "VERSION",
      `offset ${FIELD.version}: version 0x${version.toString(16)}; ${known} is known`,
      FIELD.version,
    );
  }
  const recordSize = view.getUint32(FIELD.recordSize, true);
  if (recordSize < SMALLEST_RECORD || !isPowerOfTwo(recordSize)) {
    throw badField(
      FIELD.recordSize,
      `a record size of ${recordSize}, no power of two from 4096 on`,
    );
  }
  if (view.getUint16(FIELD.reserved, true) !== 0) {
    throw badField(FIELD.reserved, "the reserved field isn't 0");
  }
  if (fileBytes % recordSize !== 0 || fileBytes === 0 || fileBytes > LARGEST_FILE) {
    throw new ErstError(
      "CUT",
      `offset ${fileBytes}: the file ends within a slot of ${recordSize} bytes`,
      fileBytes,
    );
  }
  const slots = fileBytes / recordSize;
  const storageOffset = view.getUint32(FIELD.storageOffset, true);
  if (
    storageOffset % recordSize !== 0 ||
    storageOffset < FIXED_BYTES + slots * MAP_ENTRY_BYTES ||
    storageOffset > fileBytes
  ) {
    throw badField(
      FIELD.storageOffset,
      `records from ${storageOffset} on, in a file of ${fileBytes} with slots of ${recordSize}`,
    );
  }
  const firstSlot = storageOffset / recordSize;
  const recordCount = view.getUint32(FIELD.recordCount, true);
  if (recordCount > slots - firstSlot) {
    const has = `the file ends behind ${slots - firstSlot} slots for its ${recordCount} records`;
    throw new ErstError("CUT", `offset ${fileBytes}: ${has}`, fileBytes);
  }
  return { fileBytes, recordSize, storageOffset, version, recordCount, firstSlot, slots };
}

/** The header of a new store, without the map, which is all zeros. Throws ErstError. */
export function encodeHeader(fileBytes: number, recordSize: number): Uint8Array {
  checkSizes(fileBytes, recordSize);
  const bytes = new Uint8Array(FIXED_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(FIELD.magic, MAGIC, true);
  view.setUint32(FIELD.recordSize, recordSize, true);
  view.setUint32(FIELD.storageOffset, storageOffsetFor(fileBytes, recordSize), true);
  view.setUint16(FIELD.version, VERSION, true);
  return bytes;
}
