import { ID_CELL_BYTES, OPERATION, REGISTER } from "./port-device.js";

/** Serialization actions (ACPI 6.5, table 18.17). */
export const ACTION = {
  beginWrite: 0x0,
  beginRead: 0x1,
  beginClear: 0x2,
  end: 0x3,
  setRecordOffset: 0x4,
  executeOperation: 0x5,
  checkBusyStatus: 0x6,
  getCommandStatus: 0x7,
  getRecordIdentifier: 0x8,
  setRecordIdentifier: 0x9,
  getRecordCount: 0xa,
  beginDummyWrite: 0xb,
  getErrorLogAddressRange: 0xd,
  getErrorLogAddressRangeLength: 0xe,
  getErrorLogAddressRangeAttributes: 0xf,
} as const;

/** Serialization instructions (ACPI 6.5, table 18.21): those that the port device needs. */
export const INSTRUCTION = {
  readRegister: 0x00,
  readRegisterValue: 0x01,
  writeRegister: 0x02,
  writeRegisterValue: 0x03,
  noop: 0x04,
} as const;

/** Address spaces of a Generic Address Structure (ACPI 6.5, 5.2.3.2). */
export const SPACE = { systemMemory: 0, systemIo: 1 } as const;

/** The port device's first port in QEMU's machines of 2016. */
export const FIRST_PORT = { ich9: 0xa20, piix: 0xae20 } as const;

/** Of the table's header and of the serialization header behind it (ACPI 6.5, 18.5.1). */
export const TABLE_HEADER_BYTES = 48;

/** Of one instruction entry (ACPI 6.5, table 18.19). */
export const ENTRY_BYTES = 32;

/** What the table of a port device says. */
export interface ErstTableOptions {
  /** The device's first port. */
  readonly port: number;
  /**
   * Guest-physical address of the memory that is reserved for the device, below 4 GiB: the cell for a
   * record's id, and behind it the error log address range.
   */
  readonly base: number;
  /** Of that memory, in bytes. It may be megabytes: the registers have 32 bits. */
  readonly bytes: number;
}

interface Register {
  readonly space: number;
  readonly address: number;
  /** In bits. */
  readonly width: 8 | 32 | 64;
}

interface Entry {
  readonly action: number;
  readonly instruction: number;
  readonly register: Register;
  readonly value?: bigint;
  readonly mask?: bigint;
}

/** The ACPI table ERST, by which a guest drives the port device. */
export function buildErstTable({ port, base, bytes }: ErstTableOptions): Buffer {
  const end = base + bytes;
  if (base <= 0 || bytes <= ID_CELL_BYTES || end > 0x1_0000_0000 || base % 8 !== 0) {
    throw new RangeError(
      `0x${base.toString(16)}: ${bytes} bytes there can't be the device's memory`,
    );
  }
  const entries = instructions(port, base, bytes);
  const table = Buffer.alloc(TABLE_HEADER_BYTES + entries.length * ENTRY_BYTES);
  table.write("ERST", 0, "latin1");
  table.writeUInt32LE(table.length, 4);
  table.writeUInt8(1, 8);
  table.write("VPSTOR", 10, "latin1");
  table.write("VPSTERST", 16, "latin1");
  table.writeUInt32LE(1, 24);
  table.write("VPST", 28, "latin1");
  table.writeUInt32LE(1, 32);
  table.writeUInt32LE(TABLE_HEADER_BYTES, 36);
  table.writeUInt32LE(entries.length, 44);
  for (const [i, entry] of entries.entries()) {
    encodeEntry(entry, table.subarray(TABLE_HEADER_BYTES + i * ENTRY_BYTES));
  }
  // All bytes of a table sum up to 0 (ACPI 6.5, 5.2.6).
  table.writeUInt8(-table.reduce((sum, byte) => sum + byte, 0) & 0xff, 9);
  return table;
}

function instructions(port: number, base: number, bytes: number): Entry[] {
  const io = (offset: number, width: 8 | 32): Register => ({
    space: SPACE.systemIo,
    address: port + offset,
    width,
  });
  const operation = io(REGISTER.operation, 8);
  const status = io(REGISTER.status, 8);
  const idCell = io(REGISTER.idCell, 32);
  const execute = io(REGISTER.execute, 32);
  const cell: Register = { space: SPACE.systemMemory, address: base, width: 64 };
  const range = BigInt(base + ID_CELL_BYTES);
  const { readRegister, readRegisterValue, writeRegister, writeRegisterValue } = INSTRUCTION;
  const write = (action: number, register: Register, value: number | bigint): Entry => ({
    action,
    instruction: writeRegisterValue,
    register,
    value: BigInt(value),
  });
  /** The execute register reads as all ones: the mask is what the guest gets. */
  const constant = (action: number, mask: bigint): Entry => ({
    action,
    instruction: readRegister,
    register: execute,
    mask,
  });
  const { getRecordIdentifier, setRecordIdentifier } = ACTION;
  return [
    write(ACTION.beginWrite, operation, OPERATION.write),
    write(ACTION.beginRead, operation, OPERATION.read),
    write(ACTION.beginClear, operation, OPERATION.clear),
    { action: ACTION.end, instruction: INSTRUCTION.noop, register: operation },
    {
      action: ACTION.setRecordOffset,
      instruction: writeRegister,
      register: io(REGISTER.recordOffset, 32),
    },
    write(ACTION.executeOperation, execute, range),
    {
      action: ACTION.checkBusyStatus,
      instruction: readRegisterValue,
      register: status,
      value: 0x80n,
      mask: 0x80n,
    },
    {
      action: ACTION.getCommandStatus,
      instruction: readRegister,
      register: status,
      mask: 0x7fn,
    },
    write(getRecordIdentifier, idCell, base),
    { action: getRecordIdentifier, instruction: readRegister, register: io(REGISTER.nextId, 8) },
    { action: getRecordIdentifier, instruction: readRegister, register: cell },
    // In this order: an instruction that writes a value of its own leaves that in place of the id.
    { action: setRecordIdentifier, instruction: writeRegister, register: cell },
    write(setRecordIdentifier, idCell, base),
    { action: ACTION.getRecordCount, instruction: readRegister, register: idCell },
    write(ACTION.beginDummyWrite, operation, OPERATION.dummyWrite),
    constant(ACTION.getErrorLogAddressRange, range),
    constant(ACTION.getErrorLogAddressRangeLength, BigInt(bytes - ID_CELL_BYTES)),
    constant(ACTION.getErrorLogAddressRangeAttributes, 0n),
  ];
}

/** Access sizes of a Generic Address Structure, by the register's width in bits. */
const ACCESS_SIZE = { 8: 1, 32: 3, 64: 4 } as const;

function encodeEntry({ action, instruction, register, value, mask }: Entry, at: Buffer): void {
  const { space, address, width } = register;
  at.writeUInt8(action, 0);
  at.writeUInt8(instruction, 1);
  at.writeUInt8(space, 4);
  at.writeUInt8(width, 5);
  at.writeUInt8(ACCESS_SIZE[width], 7);
  at.writeBigUInt64LE(BigInt(address), 8);
  at.writeBigUInt64LE(value ?? 0n, 16);
  at.writeBigUInt64LE(mask ?? (1n << BigInt(width)) - 1n, 24);
}
