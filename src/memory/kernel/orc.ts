import { MemoryError } from "../errors.js";
import { firstPlace } from "../first-place.js";
import type { AddressRange } from "./address-ranges.js";
import type { Budget } from "./budget.js";
import type { Module } from "./module.js";
import type { Symbols } from "./symbols.js";
import type { StructType, Types } from "./types.js";

/** What an offset of an entry is added to: a register's value, or for the indirect ones what it points to. */
export type OrcRegister =
  | "undefined"
  | "previous-sp"
  | "ax"
  | "dx"
  | "di"
  | "bp"
  | "sp"
  | "r10"
  | "r13"
  | "bp-indirect"
  | "sp-indirect";

/** What lies at the end of a frame: a return address, all registers, those of an interrupt only, or nothing. */
export type OrcType = "undefined" | "end" | "call" | "regs" | "regs-partial";

/** How to get from a frame to its caller's (Linux, arch/x86/include/asm/orc_types.h). */
export interface OrcEntry {
  readonly spRegister: OrcRegister;
  readonly spOffset: number;
  readonly bpRegister: OrcRegister;
  readonly bpOffset: number;
  readonly type: OrcType;
  /** The frame is an interrupted one: its address is that of the next instruction, not behind a call. */
  readonly signal: boolean;
}

/** How the kernel numbers registers: macros of its source, which nothing in its memory names. */
const UNTIL_6: readonly OrcRegister[] = [
  ...(["undefined", "previous-sp", "dx", "di", "bp", "sp", "r10", "r13"] as const),
  ...(["bp-indirect", "sp-indirect"] as const),
];
const SINCE_7: readonly OrcRegister[] = [
  ...(["undefined", "ax", "dx", "sp", "bp", "di", "r10", "r13"] as const),
  ...(["previous-sp", "sp-indirect", "bp-indirect"] as const),
];

/** Where two bits say the type, and where three do (since Linux 6.4). */
const TWO_BITS: readonly OrcType[] = ["call", "regs", "regs-partial"];
const THREE_BITS: readonly OrcType[] = ["undefined", "end", "call", "regs", "regs-partial"];

/** An entry has 6. */
const MAX_ENTRY_BYTES = 64;

/** More entries than any kernel has. */
const MAX_ENTRIES = 1 << 22;

/** More entries that differ than any kernel has. */
const MAX_DIFFERENT = 1 << 16;

/** What an entry costs to decode and to make something of, in units of the budget. */
const WORK_PER_ENTRY = 0.5;

/** Functions whose first instruction has just the return address on its stack: compiled code, in every source. */
const ORDINARY_FUNCTIONS = ["schedule", "kfree", "vprintk", "do_exit", "wake_up_process"];

/** What the tables are read from. */
export interface OrcSource {
  readonly budget: Budget;
  readonly symbols: Symbols | undefined;
  moduleAt(address: bigint): AddressRange<Module> | undefined;
  read(address: bigint, length: number): Buffer;
  expectTypes(): Types;
  expectSymbol(name: string): bigint;
  /** Does what may fail, and notes why it did. */
  attempt<T>(what: string, read: () => T): T | undefined;
}

/** A table: distances of instructions from their places in it, ascending by address, and an entry for each. */
class Table {
  readonly #ipsAt: bigint;
  readonly #ips: Buffer;
  readonly #entries: Buffer;
  readonly #size: number;
  readonly count: number;

  constructor(ipsAt: bigint, ips: Buffer, entries: Buffer, size: number) {
    this.#ipsAt = ipsAt;
    this.#ips = ips;
    this.#entries = entries;
    this.#size = size;
    this.count = Math.min(Math.floor(ips.length / 4), Math.floor(entries.length / size));
  }

  /** The entries and the addresses from which on they are for, as they are in it. */
  *all(): Generator<readonly [address: bigint, entry: Buffer], void, void> {
    for (let i = 0; i < this.count; i++) {
      const address = this.#ipsAt + BigInt(i * 4 + this.#ips.readInt32LE(i * 4));
      yield [address, this.#entries.subarray(i * this.#size, (i + 1) * this.#size)];
    }
  }

  /** The entry of the last instruction that isn't behind `address`. */
  at(address: bigint): Buffer | undefined {
    const distance = Number(address - this.#ipsAt);
    const after = firstPlace(this.count, (i) => i * 4 + this.#ips.readInt32LE(i * 4) > distance);
    if (after === 0) return undefined;
    return this.#entries.subarray((after - 1) * this.#size, after * this.#size);
  }
}

/** The unwind tables of vmlinux and of its modules. */
export class Orc {
  readonly #source: OrcSource;
  readonly #vmlinux: Table;
  readonly #type: StructType;
  readonly #start: bigint;
  readonly #end: bigint;
  readonly #modules = new WeakMap<Module, Table | undefined>();
  readonly #registers: readonly OrcRegister[];
  readonly #types: readonly OrcType[];

  /** Throws MemoryError where the kernel has none, or numbers registers in an unknown way. */
  constructor(source: OrcSource) {
    this.#source = source;
    this.#type = source.expectTypes().expect("orc_entry");
    const { size } = this.#type;
    if (size === 0 || size > MAX_ENTRY_BYTES) {
      throw new MemoryError("DAMAGED", `ORC: entries of ${size} bytes`);
    }
    this.#start = source.expectSymbol("_stext");
    this.#end = source.expectSymbol("_etext");
    const ipsAt = source.expectSymbol("__start_orc_unwind_ip");
    const count = Number(source.expectSymbol("__stop_orc_unwind_ip") - ipsAt) / 4;
    this.#vmlinux = this.#table(ipsAt, source.expectSymbol("__start_orc_unwind"), count);
    this.#types = (this.#type.expect("type").bits?.count ?? 0) > 2 ? THREE_BITS : TWO_BITS;
    this.#registers = this.#numbering();
  }

  /** Undefined where no table tells of the address. For return addresses, ask for the byte before. */
  at(address: bigint): OrcEntry | undefined {
    const bytes = this.#tableOf(address)?.at(address);
    return bytes === undefined ? undefined : this.#decode(bytes);
  }

  /**
   * All of vmlinux's, and the addresses from which on they are for; ascending, where the table is not damaged. Throws
   * MemoryError where too many of them differ.
   */
  *vmlinux(): Generator<readonly [address: bigint, entry: OrcEntry], void, void> {
    // A kernel has a hundred times as many as there are different ones.
    const decoded = new Map<string, OrcEntry>();
    for (const [address, bytes] of this.#vmlinux.all()) {
      this.#source.budget.spend(WORK_PER_ENTRY);
      const key = bytes.toString("latin1");
      let entry = decoded.get(key);
      if (entry === undefined) {
        if (decoded.size === MAX_DIFFERENT) {
          throw new MemoryError("DAMAGED", `ORC: more than ${MAX_DIFFERENT} entries that differ`);
        }
        entry = this.#decode(bytes);
        decoded.set(key, entry);
      }
      yield [address, entry];
    }
  }

  #tableOf(address: bigint): Table | undefined {
    if (address >= this.#start && address < this.#end) return this.#vmlinux;
    const module = this.#source.moduleAt(address)?.value;
    // Code that runs once lies behind the text, and is in vmlinux's table.
    if (module === undefined) return this.#isInit(address) ? this.#vmlinux : undefined;
    if (!this.#modules.has(module)) {
      const read = () => this.#moduleTable(module);
      this.#modules.set(module, this.#source.attempt(`module ${module.name}'s ORC`, read));
    }
    return this.#modules.get(module);
  }

  #isInit(address: bigint): boolean {
    const start = this.#source.symbols?.address("_sinittext");
    const end = this.#source.symbols?.address("_einittext");
    return start !== undefined && end !== undefined && address >= start && address < end;
  }

  #moduleTable({ struct }: Module): Table | undefined {
    if (!struct.has("arch.num_orcs")) return undefined;
    const count = struct.number("arch.num_orcs");
    if (count === 0) return undefined;
    return this.#table(
      struct.pointer("arch.orc_unwind_ip"),
      struct.pointer("arch.orc_unwind"),
      count,
    );
  }

  #table(ipsAt: bigint, entriesAt: bigint, count: number): Table {
    if (!(Number.isInteger(count) && count > 0 && count <= MAX_ENTRIES)) {
      throw new MemoryError("DAMAGED", `ORC: ${count} entries`);
    }
    const { size } = this.#type;
    this.#source.budget.keep(count * (4 + size));
    const ips = this.#source.read(ipsAt, count * 4);
    return new Table(ipsAt, ips, this.#source.read(entriesAt, count * size), size);
  }

  /** Where a function begins, the caller's frame ends 8 bytes above the stack pointer: that tells its number. */
  #numbering(): readonly OrcRegister[] {
    const seen = new Map<number, number>();
    for (const name of ORDINARY_FUNCTIONS) {
      const address = this.#source.symbols?.address(name);
      const bytes = address === undefined ? undefined : this.#vmlinux.at(address);
      if (bytes === undefined || this.#field(bytes, "sp_offset") !== 8) continue;
      const register = this.#field(bytes, "sp_reg");
      seen.set(register, (seen.get(register) ?? 0) + 1);
    }
    const [most] = [...seen].sort((a, b) => b[1] - a[1]);
    const found = [UNTIL_6, SINCE_7].find((numbers) => numbers[most?.[0] ?? -1] === "sp");
    if (found !== undefined) return found;
    throw new MemoryError(
      "UNSUPPORTED",
      `ORC: no known numbering of registers calls the stack pointer ${most?.[0] ?? "anything"}`,
    );
  }

  #decode(bytes: Buffer): OrcEntry {
    const isEnd = this.#type.has("end") && this.#field(bytes, "end") === 1;
    return {
      spRegister: this.#registers[this.#field(bytes, "sp_reg")] ?? "undefined",
      spOffset: this.#field(bytes, "sp_offset"),
      bpRegister: this.#registers[this.#field(bytes, "bp_reg")] ?? "undefined",
      bpOffset: this.#field(bytes, "bp_offset"),
      type: isEnd ? "end" : (this.#types[this.#field(bytes, "type")] ?? "undefined"),
      signal: this.#type.has("signal") && this.#field(bytes, "signal") === 1,
    };
  }

  /** An entry has two signed offsets of 16 bits, and fields of a few bits. */
  #field(bytes: Buffer, name: string): number {
    const { bits, offset } = this.#type.expect(name);
    if (bits === undefined) return offset + 2 <= bytes.length ? bytes.readInt16LE(offset) : 0;
    const at = Math.floor(bits.first / 8);
    const value = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
    return (value >>> (bits.first % 8)) & ((1 << bits.count) - 1);
  }
}
