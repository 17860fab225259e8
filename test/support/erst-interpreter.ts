/** What instructions reach: the registers of a Generic Address Structure (ACPI 6.5, 5.2.3.2). */
export interface RegisterSpaces {
  /** `width` is in bytes. */
  readPort(port: number, width: number): number;
  writePort(port: number, value: number, width: number): void;
  readMemory(address: bigint, width: number): bigint;
  writeMemory(address: bigint, value: bigint, width: number): void;
}

interface Entry {
  readonly action: number;
  readonly instruction: number;
  readonly preserve: boolean;
  readonly space: number;
  readonly bitOffset: bigint;
  /** In bytes. */
  readonly width: number;
  readonly address: bigint;
  readonly value: bigint;
  readonly mask: bigint;
}

/** The table is not one by ACPI's rules, or can't be executed. */
export class TableError extends Error {}

/**
 * Executes the actions of an ACPI table ERST, as ACPI 6.5, 18.5.1 defines its instructions: the guest's
 * half, which knows nothing of the device behind it.
 */
export class ErstInterpreter {
  readonly #spaces: RegisterSpaces;
  readonly #entries: readonly Entry[];

  constructor(table: Buffer, spaces: RegisterSpaces) {
    this.#spaces = spaces;
    this.#entries = parseTable(table);
  }

  /** The actions that the table has instructions for. */
  get actions(): ReadonlySet<number> {
    return new Set(this.#entries.map(({ action }) => action));
  }

  /** Runs one action; `input` is what it takes, the result what it gives. */
  run(action: number, input = 0n): bigint {
    const entries = this.#entries.filter((entry) => entry.action === action);
    if (entries.length === 0) throw new TableError(`no instruction for action ${action}`);
    let value = input;
    for (const entry of entries) value = this.#execute(entry, value);
    return value;
  }

  /** Table 18.21: what passes from one instruction of an action to the next. */
  #execute(entry: Entry, value: bigint): bigint {
    switch (entry.instruction) {
      case 0x00:
        return this.#read(entry);
      case 0x01:
        return this.#read(entry) === entry.value ? 1n : 0n;
      case 0x02:
        this.#write(entry, value);
        return value;
      case 0x03:
        this.#write(entry, entry.value);
        return entry.value;
      case 0x04:
        return value;
      default:
        throw new TableError(`instruction ${entry.instruction}`);
    }
  }

  #load({ space, address, width }: Entry): bigint {
    return space === 1
      ? BigInt(this.#spaces.readPort(Number(address), width))
      : this.#spaces.readMemory(address, width);
  }

  #read(entry: Entry): bigint {
    return (this.#load(entry) >> entry.bitOffset) & entry.mask;
  }

  #write(entry: Entry, value: bigint): void {
    const { space, address, width, mask, bitOffset, preserve } = entry;
    let bits = (value & mask) << bitOffset;
    if (preserve) bits |= this.#load(entry) & ~(mask << bitOffset);
    if (space === 1) this.#spaces.writePort(Number(address), Number(bits), width);
    else this.#spaces.writeMemory(address, bits, width);
  }
}

function parseTable(table: Buffer): Entry[] {
  const expect = (holds: boolean, what: string) => {
    if (!holds) throw new TableError(what);
  };
  expect(table.toString("latin1", 0, 4) === "ERST", "the signature");
  expect(table.readUInt32LE(4) === table.length, "the length");
  expect((table.reduce((sum, byte) => sum + byte, 0) & 0xff) === 0, "the checksum");
  const headerBytes = table.readUInt32LE(36);
  expect(headerBytes === 48, "the serialization header's size");
  const count = table.readUInt32LE(44);
  expect(table.length === headerBytes + count * 32, "the number of entries");
  return Array.from({ length: count }, (_, i) => {
    const at = headerBytes + i * 32;
    const space = table.readUInt8(at + 4);
    const bits = table.readUInt8(at + 5);
    const bitOffset = table.readUInt8(at + 6);
    const accessSize = table.readUInt8(at + 7);
    const address = table.readBigUInt64LE(at + 8);
    const width = 1 << (accessSize - 1);
    expect(space === 0 || space === 1, "an address space");
    expect(accessSize >= 1 && accessSize <= (space === 1 ? 3 : 4), "an access size");
    expect(bits + bitOffset <= 8 * width, "a register wider than its access");
    expect(address !== 0n && address % BigInt(width) === 0n, "an address");
    expect(table.readUInt8(at + 3) === 0, "a reserved field");
    return {
      action: table.readUInt8(at),
      instruction: table.readUInt8(at + 1),
      preserve: (table.readUInt8(at + 2) & 1) !== 0,
      space,
      bitOffset: BigInt(bitOffset),
      width,
      address,
      value: table.readBigUInt64LE(at + 16),
      mask: table.readBigUInt64LE(at + 24),
    };
  });
}
