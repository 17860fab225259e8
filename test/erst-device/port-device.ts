import { HEADER, HEADER_BYTES, parseCper } from "../../src/formats/erst/cper.js";
import { ErstError } from "../../src/formats/erst/errors.js";
import { END_ID, isNoId, UNSPECIFIED_ID } from "../../src/formats/erst/header.js";
import { copyOf, errno, errnoOf } from "../../src/os/index.js";
import {
  type GuestAddress,
  type GuestMemory,
  guestAddress,
  VirtqueueError,
} from "../../src/virtio/virtqueue/index.js";
import type { ErstRecords } from "./file-records.js";

/** The I/O ports that the device takes. */
export const PORT_COUNT = 16;

/** The device's registers, by their offset from its first port. */
export const REGISTER = {
  /** One byte: an OPERATION. */
  operation: 0x00,
  /** One byte, read-only: bit 7 is set while an operation runs, bits 0 to 6 are a STATUS. */
  status: 0x01,
  /** One byte; reading it steps the record id in the cell. */
  nextId: 0x02,
  /** Four bytes: where in the error log address range the record lies. */
  recordOffset: 0x04,
  /** Four bytes: read, the number of records; written, the guest address of the record id's cell. */
  idCell: 0x08,
  /** Four bytes: read, all ones; written, the error log address range's begin, and the operation runs. */
  execute: 0x0c,
} as const;

/** What the operation register holds. */
export const OPERATION = { write: 0, read: 1, clear: 2, dummyWrite: 3 } as const;

/** Command status (ACPI 6.5, table 18.18). */
export const STATUS = {
  success: 0,
  notEnoughSpace: 1,
  hardwareNotAvailable: 2,
  failed: 3,
  recordStoreEmpty: 4,
  recordNotFound: 5,
} as const;

/** Of the cell that a record id is passed in. */
export const ID_CELL_BYTES = 8;

const ALL_ONES = 0xffff_ffff;

/** What a port device is made with. */
export interface PortDeviceOptions {
  readonly memory: GuestMemory;
  readonly records: ErstRecords;
  /** Of the error log address range, in bytes: bounds a record, and what is copied of guest memory. */
  readonly rangeBytes: number;
}

/**
 * The error record serialization device that was proposed in place of virtio-pstore: sixteen I/O ports,
 * and a range of guest memory that records pass through (docs/erst.md). An operation has ended, and a
 * record is durable, when the port write that started it returns: Linux takes the firmware for dead
 * after a millisecond of "busy", and a VMM holds the guest's CPU in a port write for as long as it likes.
 */
export class ErstPortDevice {
  readonly #memory: GuestMemory;
  readonly #records: ErstRecords;
  readonly #rangeBytes: number;
  #operation: number = OPERATION.write;
  #status: number = STATUS.success;
  #recordOffset = 0;
  #idCell = guestAddress(0n);

  constructor({ memory, records, rangeBytes }: PortDeviceOptions) {
    this.#memory = memory;
    this.#records = records;
    this.#rangeBytes = rangeBytes;
  }

  /** Reads `width` bytes, 1, 2 or 4, at a port's offset from the first; all ones where nothing is. */
  readPort(offset: number, width: number): number {
    switch (offset) {
      case REGISTER.operation:
        return this.#operation;
      case REGISTER.status:
        return this.#status;
      case REGISTER.nextId:
        this.#step();
        return 0;
      case REGISTER.nextId + 1:
        return 0;
      case REGISTER.recordOffset:
        return this.#recordOffset;
      case REGISTER.idCell:
        return this.#records.ids().length;
      default:
        return ALL_ONES >>> (8 * (4 - width));
    }
  }

  /** Writes `value` at a port's offset from the first. Where nothing can be written, it is ignored. */
  writePort(offset: number, value: number): void {
    switch (offset) {
      case REGISTER.operation:
        this.#operation = value & 0xff;
        break;
      case REGISTER.recordOffset:
        this.#recordOffset = value >>> 0;
        break;
      case REGISTER.idCell:
        this.#idCell = guestAddress(BigInt(value >>> 0));
        break;
      case REGISTER.execute:
        this.#status = this.#execute(guestAddress(BigInt(value >>> 0)));
        break;
      default:
    }
  }

  /** The id behind the cell's, or the first one; all ones where there is no record. */
  #step(): void {
    try {
      const ids = this.#records.ids();
      const at = ids.indexOf(this.#readCell());
      this.#writeCell(ids[at + 1] ?? ids[0] ?? END_ID);
      this.#status = STATUS.success;
    } catch (error) {
      this.#status = statusOf(error);
    }
  }

  #execute(range: GuestAddress): number {
    try {
      switch (this.#operation) {
        case OPERATION.write:
          return this.#write(range);
        case OPERATION.read:
          return this.#read(range);
        case OPERATION.clear:
          return this.#clear();
        case OPERATION.dummyWrite:
          return STATUS.success;
        default:
          return STATUS.failed;
      }
    } catch (error) {
      return statusOf(error);
    }
  }

  /** ACPI 6.5, 18.5.2.1. The record is copied once, and all decisions are made on the copy. */
  #write(range: GuestAddress): number {
    const room = this.#rangeBytes - this.#recordOffset;
    if (room < HEADER_BYTES) return STATUS.failed;
    const at = guestAddress(range + BigInt(this.#recordOffset));
    const header = this.#copy(at, HEADER_BYTES);
    const length = header.readUInt32LE(HEADER.recordLength);
    if (length < HEADER_BYTES || length > room) return STATUS.failed;
    const rest = guestAddress(at + BigInt(HEADER_BYTES));
    const record = Buffer.concat([header, this.#copy(rest, length - HEADER_BYTES)]);
    const { id } = parseCper(record);
    if (isNoId(id)) return STATUS.failed;
    this.#records.write(id, record);
    return STATUS.success;
  }

  /** ACPI 6.5, 18.5.2.2. An id of 0 asks for the first record; one that isn't there gets the first one's. */
  #read(range: GuestAddress): number {
    const [first] = this.#records.ids();
    if (first === undefined) return STATUS.recordStoreEmpty;
    const asked = this.#readCell();
    const id = asked === UNSPECIFIED_ID ? first : asked;
    const record = this.#records.read(id);
    if (record === undefined) {
      this.#writeCell(first);
      return STATUS.recordNotFound;
    }
    if (record.length > this.#rangeBytes - this.#recordOffset) return STATUS.failed;
    this.#put(guestAddress(range + BigInt(this.#recordOffset)), record);
    if (asked === UNSPECIFIED_ID) this.#writeCell(id);
    return STATUS.success;
  }

  /** ACPI 6.5, 18.5.2.3. */
  #clear(): number {
    const id = this.#readCell();
    if (isNoId(id)) return STATUS.failed;
    return this.#records.clear(id) ? STATUS.success : STATUS.recordNotFound;
  }

  #readCell(): bigint {
    return this.#copy(this.#idCell, ID_CELL_BYTES).readBigUInt64LE();
  }

  #writeCell(id: bigint): void {
    const bytes = Buffer.alloc(ID_CELL_BYTES);
    bytes.writeBigUInt64LE(id);
    this.#put(this.#idCell, bytes);
  }

  #copy(address: GuestAddress, length: number): Buffer {
    return copyOf(this.#memory.bytes(address, length));
  }

  #put(address: GuestAddress, bytes: Uint8Array): void {
    this.#memory.write(address, bytes);
  }
}

const NO_SPACE: readonly number[] = [errno.ENOSPC, errno.EDQUOT];

/** What the guest is told of a failure; what isn't its records' or the host's is thrown on. */
function statusOf(error: unknown): number {
  // An address that is no memory, and a record that is none.
  if (error instanceof VirtqueueError || error instanceof ErstError) return STATUS.failed;
  if (!(error instanceof Error && "errno" in error)) throw error;
  return NO_SPACE.includes(errnoOf(error)) ? STATUS.notEnoughSpace : STATUS.hardwareNotAvailable;
}
