import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import { ErstFile } from "../../src/formats/erst/erst-file.js";
import { errno, Mapping, SystemError } from "../../src/os/index.js";
import { GuestMemory, guestAddress, userAddress } from "../../src/virtio/virtqueue/index.js";
import type { ErstRecords } from "../erst-device/file-records.js";
import { FileRecords } from "../erst-device/file-records.js";
import { ErstPortDevice, PORT_COUNT, STATUS } from "../erst-device/port-device.js";
import { ACTION, buildErstTable, FIRST_PORT } from "../erst-device/table.js";
import { ErstInterpreter } from "../support/erst-interpreter.js";
import { encodeCper } from "../support/erst-records.js";
import { GuestRam } from "../support/guest-ram.js";

const BASE = 0x10_0000;
const END = 0xffff_ffff_ffff_ffffn;

/** A machine with the port device, as its guest sees it. */
class Machine {
  readonly ram = new GuestRam();
  readonly device: ErstPortDevice;
  readonly interpreter: ErstInterpreter;

  constructor(records: ErstRecords, bytes = 8192) {
    const memory = new GuestMemory();
    for (const { guestAddress: at, userAddress: user, size, fd } of this.ram.regions) {
      const mapping = new Mapping(fd, 0n, size);
      const region = {
        size,
        mapping,
        guestAddress: guestAddress(at),
        userAddress: userAddress(user),
      };
      memory.add(region);
    }
    onTestFinished(() => {
      memory.clear();
      this.ram.close();
    });
    const port = FIRST_PORT.ich9;
    this.device = new ErstPortDevice({ memory, records, rangeBytes: bytes - 8 });
    const cell = this.ram.bytes(BigInt(BASE), bytes);
    this.interpreter = new ErstInterpreter(buildErstTable({ port, base: BASE, bytes }), {
      readPort: (at, width) => this.device.readPort(at - port, width),
      writePort: (at, value) => {
        this.device.writePort(at - port, value);
      },
      readMemory: (at) => cell.readBigUInt64LE(Number(at) - BASE),
      writeMemory: (at, value) => void cell.writeBigUInt64LE(value, Number(at) - BASE),
    });
  }

  /** The error log address range, as the table says where it is. */
  get range(): Buffer {
    const at = this.interpreter.run(ACTION.getErrorLogAddressRange);
    const length = this.interpreter.run(ACTION.getErrorLogAddressRangeLength);
    return this.ram.bytes(at, Number(length));
  }

  /** The steps that an operating system performs for an operation (ACPI 6.5, 18.5.2); the status. */
  operate(begin: number, offset = 0, id?: bigint): number {
    const { interpreter } = this;
    interpreter.run(begin);
    if (id !== undefined) interpreter.run(ACTION.setRecordIdentifier, id);
    interpreter.run(ACTION.setRecordOffset, BigInt(offset));
    interpreter.run(ACTION.executeOperation);
    expect(interpreter.run(ACTION.checkBusyStatus)).toBe(0n);
    const status = Number(interpreter.run(ACTION.getCommandStatus));
    interpreter.run(ACTION.end);
    return status;
  }

  write(record: Uint8Array, offset = 0): number {
    this.range.set(record, offset);
    return this.operate(ACTION.beginWrite, offset);
  }

  read(id: bigint, offset = 0): number {
    return this.operate(ACTION.beginRead, offset, id);
  }

  clear(id: bigint): number {
    return this.operate(ACTION.beginClear, 0, id);
  }

  count(): bigint {
    return this.interpreter.run(ACTION.getRecordCount);
  }

  /** All ids, as Linux looks for them: until there is none, or the first one comes again. */
  walk(): bigint[] {
    const ids: bigint[] = [];
    for (;;) {
      const id = this.interpreter.run(ACTION.getRecordIdentifier);
      if (id === END || ids.includes(id)) return ids;
      ids.push(id);
    }
  }
}

function fileRecords(fileBytes = 65536, recordSize = 8192): FileRecords {
  const folder = mkdtempSync(join(tmpdir(), "virtio-pstore-erst-"));
  const path = join(folder, "erst");
  ErstFile.create(path, fileBytes, recordSize);
  const file = new ErstFile(path, { writable: true });
  onTestFinished(() => {
    file.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return new FileRecords(file);
}

describe("the port device, driven through its ACPI table", () => {
  test("the range lies behind the id's cell, and isn't non-volatile", () => {
    const { interpreter } = new Machine(fileRecords());
    expect(interpreter.run(ACTION.getErrorLogAddressRange)).toBe(BigInt(BASE + 8));
    expect(interpreter.run(ACTION.getErrorLogAddressRangeLength)).toBe(8184n);
    expect(interpreter.run(ACTION.getErrorLogAddressRangeAttributes)).toBe(0n);
    expect(interpreter.actions).toEqual(new Set(Object.values(ACTION)));
  });

  test("ACPI 18.5.2.1: a record is written, counted and found", () => {
    const machine = new Machine(fileRecords());
    expect(machine.walk()).toEqual([]);
    expect(machine.write(encodeCper({ id: 7n, body: Buffer.from("seven") }))).toBe(STATUS.success);
    expect(machine.write(encodeCper({ id: 8n }), 512)).toBe(STATUS.success);
    expect(machine.count()).toBe(2n);
    expect(machine.walk()).toEqual([7n, 8n]);
  });

  test("a record of the same id takes the place of the one before", () => {
    const machine = new Machine(fileRecords());
    machine.write(encodeCper({ id: 7n, body: Buffer.from("first") }));
    machine.write(encodeCper({ id: 7n, body: Buffer.from("second") }));
    expect(machine.count()).toBe(1n);
    machine.read(7n);
    expect(machine.range.toString("latin1", 200, 206)).toBe("second");
  });

  test("ACPI 18.5.2.2: it is read back byte for byte, at an offset, too", () => {
    const machine = new Machine(fileRecords());
    const record = encodeCper({ id: 7n, body: Buffer.from("seven") });
    machine.write(record);
    machine.range.fill(0);
    expect(machine.read(7n, 1000)).toBe(STATUS.success);
    expect(machine.range.subarray(1000, 1000 + record.length).equals(record)).toBe(true);
    expect(machine.range.subarray(1000 + record.length).every((byte) => byte === 0)).toBe(true);
  });

  test("ACPI 18.5.2.2: id 0 reads the first one, an unknown id tells the first one's", () => {
    const machine = new Machine(fileRecords());
    expect(machine.read(0n)).toBe(STATUS.recordStoreEmpty);
    machine.write(encodeCper({ id: 7n }));
    machine.write(encodeCper({ id: 8n }));
    expect(machine.read(0n)).toBe(STATUS.success);
    expect(machine.range.readBigUInt64LE(96)).toBe(7n);
    expect(machine.read(99n)).toBe(STATUS.recordNotFound);
    expect(machine.ram.bytes(BigInt(BASE), 8).readBigUInt64LE()).toBe(7n);
  });

  test("ACPI 18.5.2.3: it is cleared; what isn't there is told", () => {
    const machine = new Machine(fileRecords());
    machine.write(encodeCper({ id: 7n }));
    machine.write(encodeCper({ id: 8n }));
    expect(machine.clear(7n)).toBe(STATUS.success);
    expect(machine.walk()).toEqual([8n]);
    expect(machine.clear(7n)).toBe(STATUS.recordNotFound);
    expect(machine.clear(0n)).toBe(STATUS.failed);
    expect(machine.clear(END)).toBe(STATUS.failed);
    expect(machine.clear(8n)).toBe(STATUS.success);
    expect(machine.count()).toBe(0n);
    expect(machine.walk()).toEqual([]);
  });

  test("ACPI 18.5.2: a dummy write writes nothing", () => {
    const machine = new Machine(fileRecords());
    machine.range.set(encodeCper({ id: 7n }));
    expect(machine.operate(ACTION.beginDummyWrite)).toBe(STATUS.success);
    expect(machine.count()).toBe(0n);
  });

  test("a full store tells that there isn't enough space, and goes on when there is", () => {
    const machine = new Machine(fileRecords(4 * 4096, 4096), 4096 + 8);
    for (const id of [1n, 2n, 3n]) {
      expect(machine.write(encodeCper({ id }))).toBe(STATUS.success);
    }
    expect(machine.write(encodeCper({ id: 4n }))).toBe(STATUS.notEnoughSpace);
    expect(machine.walk()).toEqual([1n, 2n, 3n]);
    machine.clear(2n);
    expect(machine.write(encodeCper({ id: 4n }))).toBe(STATUS.success);
  });

  test("storage that fails is told as hardware that isn't available", () => {
    const machine = new Machine({
      ids: () => [7n],
      read: () => {
        throw new SystemError("read", errno.EIO);
      },
      write: () => {
        throw new SystemError("write", errno.EROFS);
      },
      clear: () => false,
    });
    expect(machine.write(encodeCper({ id: 7n }))).toBe(STATUS.hardwareNotAvailable);
    expect(machine.read(7n)).toBe(STATUS.hardwareNotAvailable);
  });

  test.each([
    ["a length below a header's", 20, 127],
    ["a length beyond the range", 20, 8185],
    ["a length of 4 GiB - 1", 20, 0xffffffff],
    ["another signature", 0, 0x52455042],
    ["a section beyond the record", 132, 0xffff],
  ])("%s: nothing is stored", (_, offset, value) => {
    const machine = new Machine(fileRecords());
    const record = encodeCper({ id: 7n });
    record.writeUInt32LE(value, offset);
    expect(machine.write(record)).toBe(STATUS.failed);
    expect(machine.count()).toBe(0n);
  });

  test("ids that mean none, offsets near the range's end, memory that isn't there", () => {
    const machine = new Machine(fileRecords());
    expect(machine.write(encodeCper({ id: 0n }))).toBe(STATUS.failed);
    expect(machine.write(encodeCper({ id: END }))).toBe(STATUS.failed);
    expect(machine.operate(ACTION.beginWrite, 8184 - 127)).toBe(STATUS.failed);
    expect(machine.operate(ACTION.beginWrite, 0xffffffff)).toBe(STATUS.failed);
    machine.device.writePort(0, 0);
    machine.device.writePort(4, 0);
    machine.device.writePort(0x0c, 0xfffff000);
    expect(machine.device.readPort(1, 1)).toBe(STATUS.failed);
    machine.device.writePort(8, 0xfffffffc);
    machine.device.readPort(2, 1);
    expect(machine.device.readPort(1, 1)).toBe(STATUS.failed);
    expect(machine.write(encodeCper({ id: 7n }))).toBe(STATUS.success);
  });

  test("a range of 4 MiB: a record of 1 MiB passes through", () => {
    const machine = new Machine(fileRecords(4 << 20, 1 << 20), (4 << 20) + 8);
    expect(machine.range.length).toBe(4 << 20);
    const record = encodeCper({ id: 7n, body: Buffer.alloc((1 << 20) - 200, "log ") });
    expect(machine.write(record, 2 << 20)).toBe(STATUS.success);
    expect(machine.read(7n)).toBe(STATUS.success);
    expect(machine.range.subarray(0, record.length).equals(record)).toBe(true);
  });

  test("whatever a guest writes to the ports, the device answers, and serves a good guest then", () => {
    const accesses = fc.array(
      fc.oneof(
        fc.record({ offset: fc.nat(PORT_COUNT - 1), value: fc.nat(4) }),
        fc.record({ offset: fc.nat(PORT_COUNT - 1), value: fc.integer({ max: 0xffffffff }) }),
        fc.record({ offset: fc.constantFrom(8, 12), value: fc.constantFrom(BASE, BASE + 8) }),
      ),
      { maxLength: 30 },
    );
    const machine = new Machine(fileRecords());
    fc.assert(
      fc.property(accesses, fc.uint8Array({ maxLength: 300 }), (list, bytes) => {
        machine.range.set(bytes);
        for (const { offset, value } of list) {
          machine.device.writePort(offset, value);
          for (const width of [1, 2, 4]) machine.device.readPort(offset, width);
        }
        machine.range.set(encodeCper({ id: 7n }));
        expect(machine.write(encodeCper({ id: 7n }))).toBe(STATUS.success);
        expect(machine.clear(7n)).toBe(STATUS.success);
      }),
      { numRuns: 100 },
    );
  });
});

describe("the ACPI table ERST", () => {
  test.each([
    [0, 8192],
    [BASE + 4, 8192],
    [BASE, 8],
    [0xffff_f000, 8192],
  ])("%d with %d bytes can't be the device's memory", (base, bytes) => {
    expect(() => buildErstTable({ port: FIRST_PORT.piix, base, bytes })).toThrow(RangeError);
  });
});
