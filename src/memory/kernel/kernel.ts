import { MemoryError } from "../errors.js";
import { hex } from "../guest-text.js";
import type { PhysicalMemory } from "../physical-memory.js";
import { type AddressRange, AddressRanges } from "./address-ranges.js";
import type { AddressSpace, Run } from "./address-space.js";
import { Btf } from "./btf.js";
import { Budget } from "./budget.js";
import type { FoundInfo } from "./find-info.js";
import { Kallsyms } from "./kallsyms.js";
import { Module } from "./module.js";
import { moduleSymbols } from "./module-symbols.js";
import { Notes } from "./notes.js";
import { Once } from "./once.js";
import { Orc } from "./orc.js";
import { PageTables } from "./page-tables.js";
import { Struct, type StructSource } from "./struct.js";
import { type KernelSymbol, type LoadedModules, Symbols } from "./symbols.js";
import { StructType, Types } from "./types.js";
import type { VmcoreInfo } from "./vmcore-info.js";

/** One read of the guest's memory: nothing in it is so large. */
const MAX_READ_BYTES = 256 << 20;
/** BTF is 5 MiB; a module's is less. */
const MAX_BTF_BYTES = 32 << 20;
const MAX_CPUS = 8192;
const MAX_MODULES = 4096;

/** What costs a microsecond, about: a call of pread, or so many bytes. */
const BYTES_PER_WORK = 8192;

/** A page table's read, and a walk through those that are known. */
const WORK_PER_TABLE = 3;
const WORK_PER_TRANSLATION = 0.2;

interface Loaded {
  readonly list: readonly Module[];
  readonly ranges: AddressRanges<Module>;
}

const NO_MODULES: Loaded = { list: [], ranges: new AddressRanges([]) };

/** The Linux in a guest's memory. */
export class Kernel implements StructSource, LoadedModules<Module> {
  readonly memory: PhysicalMemory;
  readonly info: VmcoreInfo;
  /** Kallsyms; undefined where the kernel doesn't say where it is. */
  readonly symbols: Symbols | undefined;
  /** What could not be read, and why: it is shown with a view's result. */
  readonly notes = new Notes();
  /** Work that is left: each read spends from it, and throws when none is left. */
  readonly budget = new Budget();
  /** The kernel's own page tables, where it has any. */
  readonly tables: AddressSpace;
  readonly #structTypes = new Map<Btf, Map<number, StructType>>();
  readonly #types = new Once<Types | undefined>(this, "types", undefined, () => this.#readTypes());
  readonly #modules = new Once(this, "modules", NO_MODULES, () => this.#readModules());
  readonly #moduleTypes = new Once<ReadonlyMap<string, Btf>>(
    this,
    "modules' types",
    new Map(),
    () => this.#readModuleTypes(),
  );
  readonly #orc = new Once<Orc | undefined>(this, "stacks", undefined, () => new Orc(this));
  #perCpuOffsets: Buffer | undefined;
  #presentCpus: readonly number[] | undefined;

  /** What can't be read of its symbols is noted. */
  constructor(memory: PhysicalMemory, { info, tables }: FoundInfo) {
    this.memory = memory;
    this.info = info;
    this.tables = tables;
    const kallsyms = this.attempt("symbols", () =>
      Kallsyms.read(info, (address, length) => this.read(address, length)),
    );
    this.symbols = kallsyms && new Symbols(kallsyms, this);
    this.budget.renew();
  }

  /** BTF; undefined, with a note, where the kernel has none. */
  get types(): Types | undefined {
    return this.#types.value;
  }

  /** The guest has run since: its page tables, modules and CPUs are read anew. */
  forget(): void {
    this.tables.forget();
    this.#modules.forget();
    this.#moduleTypes.forget();
    this.#perCpuOffsets = undefined;
    this.#presentCpus = undefined;
  }

  /** Does what may fail, and notes why it did. */
  attempt<T>(what: string, read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof MemoryError)) throw error;
      this.notes.add(`${what}: ${error.message}`);
      return undefined;
    }
  }

  /** The guest-physical address of a kernel address; undefined where nothing is mapped. */
  translate(virtual: bigint): number | undefined {
    return this.#translate(this.tables, virtual)?.physical;
  }

  /** Spends what tables that aren't known yet cost to read. */
  #translate(tables: AddressSpace, virtual: bigint): Run | undefined {
    const before = tables.reads;
    const run = tables.translate(virtual);
    this.budget.spend(WORK_PER_TRANSLATION + (tables.reads - before) * WORK_PER_TABLE);
    return run;
  }

  /** Another address space: `pgd` is the kernel address of its highest table (mm_struct.pgd). */
  addressSpace(pgd: bigint): PageTables {
    if (!(this.tables instanceof PageTables)) {
      throw new MemoryError("UNSUPPORTED", "programs' memory in a user-mode-linux can't be read");
    }
    const root = this.translate(pgd);
    if (root === undefined) throw notMapped(pgd);
    const encrypted = this.info.number("sme_mask") ?? 0n;
    return new PageTables(this.memory, root, this.tables.levels, encrypted);
  }

  /** Throws MemoryError where a page isn't mapped, or when no budget is left. */
  read(virtual: bigint, length: number, tables = this.tables): Buffer {
    if (!(length >= 0 && length <= MAX_READ_BYTES)) {
      throw new MemoryError("DAMAGED", `${length} bytes at ${hex(virtual)}: more than can be`);
    }
    const bytes = Buffer.allocUnsafe(length);
    for (let done = 0; done < length; ) {
      const address = virtual + BigInt(done);
      const run = this.#translate(tables, address);
      if (run === undefined) throw notMapped(address);
      const size = Math.min(run.size, length - done);
      this.budget.spend(1 + size / BYTES_PER_WORK);
      const part = bytes.subarray(done, done + size);
      if (this.memory.read(run.physical, part) < size) throw notMapped(address);
      done += size;
    }
    return bytes;
  }

  pointer(virtual: bigint): bigint {
    return this.read(virtual, 8).readBigUInt64LE(0);
  }

  u64(virtual: bigint): bigint {
    return this.read(virtual, 8).readBigUInt64LE(0);
  }

  u32(virtual: bigint): number {
    return this.read(virtual, 4).readUInt32LE(0);
  }

  i32(virtual: bigint): number {
    return this.read(virtual, 4).readInt32LE(0);
  }

  u16(virtual: bigint): number {
    return this.read(virtual, 2).readUInt16LE(0);
  }

  u8(virtual: bigint): number {
    return this.read(virtual, 1).readUInt8(0);
  }

  /** The text up to NUL, at most `limit` bytes, each as a character; up to where memory ends, too. */
  text(virtual: bigint, limit: number): string {
    const parts: Buffer[] = [];
    for (let done = 0; done < limit; ) {
      const address = virtual + BigInt(done);
      const toPageEnd = 4096 - Number(address & 0xfffn);
      const size = Math.min(limit - done, toPageEnd, 256);
      let part: Buffer;
      try {
        part = this.read(address, size);
      } catch (error) {
        if (done > 0 && error instanceof MemoryError && error.code === "NOT_MAPPED") break;
        throw error;
      }
      const end = part.indexOf(0);
      parts.push(end < 0 ? part : part.subarray(0, end));
      if (end >= 0) break;
      done += size;
    }
    return Buffer.concat(parts).toString("latin1");
  }

  /** A structure of a type that BTF names. Throws MemoryError where it doesn't. */
  struct(type: string, address: bigint): Struct {
    return new Struct(this, this.expectTypes().expect(type), address);
  }

  /** The structure that a symbol of vmlinux is. */
  structAt(type: string, symbol: string): Struct {
    return this.struct(type, this.expectSymbol(symbol));
  }

  structType(btf: Btf, id: number): StructType {
    let known = this.#structTypes.get(btf);
    if (known === undefined) {
      known = new Map();
      this.#structTypes.set(btf, known);
    }
    let type = known.get(id);
    if (type === undefined) {
      type = new StructType(btf, id, this.budget);
      known.set(id, type);
    }
    return type;
  }

  /** Throws MemoryError where the kernel has no types. */
  expectTypes(): Types {
    if (this.types !== undefined) return this.types;
    // Where too little was left to read them, it throws that.
    this.budget.spend(0);
    throw new MemoryError(
      "NOT_DESCRIBED",
      `Linux ${this.info.release} doesn't describe its types (CONFIG_DEBUG_INFO_BTF): only its log can be read`,
    );
  }

  /** A symbol's address. Throws MemoryError where there is none. */
  expectSymbol(name: string): bigint {
    const address = this.symbols?.address(name) ?? this.info.symbol(name);
    if (address !== undefined) return address;
    throw new MemoryError("NOT_DESCRIBED", `the kernel has no symbol ${name}`);
  }

  /** Where a CPU's copy is of what `address`, a per-CPU symbol's or pointer's, stands for. */
  perCpu(address: bigint, cpu: number): bigint {
    if (!(cpu >= 0 && cpu < MAX_CPUS)) {
      throw new MemoryError("DAMAGED", `CPU ${cpu}: more than can be`);
    }
    const count = Math.max(this.presentCpus.at(-1) ?? 0, cpu) + 1;
    if (this.#perCpuOffsets === undefined || this.#perCpuOffsets.length < count * 8) {
      this.#perCpuOffsets = this.read(this.expectSymbol("__per_cpu_offset"), count * 8);
    }
    return BigInt.asUintN(64, address + this.#perCpuOffsets.readBigUInt64LE(cpu * 8));
  }

  /** A CPU's copy of a per-CPU symbol. */
  perCpuSymbol(name: string, cpu: number): bigint {
    return this.perCpu(this.expectSymbol(name), cpu);
  }

  /** The CPUs that the guest has; those that a panic stopped, too. */
  get presentCpus(): readonly number[] {
    this.#presentCpus ??= this.cpuMask("__cpu_present_mask");
    return this.#presentCpus;
  }

  /** The numbers of the CPUs in a `struct cpumask` that a symbol is. */
  cpuMask(symbol: string): number[] {
    const most = this.symbols?.address("nr_cpu_ids");
    const count = most === undefined ? MAX_CPUS : Math.min(this.u32(most), MAX_CPUS);
    const size = Math.min(this.types?.size("cpumask") ?? 8, Math.ceil(count / 64) * 8);
    const bytes = this.read(this.expectSymbol(symbol), size);
    return Array.from({ length: Math.min(count, size * 8) }, (_, cpu) => cpu).filter(
      (cpu) => ((bytes[cpu >> 3] ?? 0) & (1 << (cpu & 7))) !== 0,
    );
  }

  /**
   * The structures in a list: `head` is the address of its `struct list_head`, which is no part of a structure.
   * A list that leads astray, or in a circle, ends with a note.
   */
  *list(head: bigint, type: string, member: string): Generator<Struct, void, void> {
    const types = this.expectTypes();
    const element = types.expect(type);
    const offset = BigInt(element.offset(member));
    const next = BigInt(types.expect("list_head").offset("next"));
    const seen = new Set<bigint>();
    const follow = (address: bigint) =>
      this.attempt(`list of ${type} at ${hex(head)}`, () => this.pointer(address + next));
    // Of an element the next one is read first: one that isn't there isn't handed out.
    let at = follow(head);
    while (at !== undefined && at !== head) {
      if (seen.has(at)) {
        this.notes.add(`list of ${type} at ${hex(head)}: it goes in a circle after ${seen.size}`);
        return;
      }
      seen.add(at);
      const after = follow(at);
      if (after === undefined) return;
      yield new Struct(this, element, at - offset);
      at = after;
    }
  }

  /** The loaded modules, in the kernel's order. */
  get modules(): readonly Module[] {
    return this.#modules.value.list;
  }

  /** The part of a module that holds an address. */
  moduleAt(address: bigint): AddressRange<Module> | undefined {
    return this.#modules.value.ranges.at(address);
  }

  /** The unwind tables; undefined, with a note, where the kernel has none. */
  get orc(): Orc | undefined {
    return this.#orc.value;
  }

  /** The modules' own types, by the modules' names. */
  get moduleTypes(): ReadonlyMap<string, Btf> {
    return this.#moduleTypes.value;
  }

  #readModules(): Loaded {
    const modules: Module[] = [];
    const types = this.expectTypes();
    const unformed = types.constant("MODULE_STATE_UNFORMED");
    const uses = types.enum("mod_mem_type");
    for (const struct of this.list(this.expectSymbol("modules"), "module", "list")) {
      if (modules.length === MAX_MODULES) {
        this.notes.add(`modules: those after ${MAX_MODULES} are left out`);
        break;
      }
      const module = this.attempt("a module", () => {
        if (struct.u64("state") === unformed) return undefined;
        return new Module(struct, uses, (one) => this.#symbolsOf(one));
      });
      if (module !== undefined) modules.push(module);
    }
    return { list: modules, ranges: new AddressRanges(modules.flatMap(rangesOf)) };
  }

  /** Reads what stays in memory. */
  #kept(address: bigint, length: number): Buffer {
    this.budget.keep(length);
    return this.read(address, length);
  }

  #symbolsOf(module: Module): Once<readonly KernelSymbol[]> {
    const read = () => moduleSymbols(module, this, this.expectTypes());
    return new Once(this, `module ${module.name}'s symbols`, [], read);
  }

  #readTypes(): Types {
    const start = this.symbols?.address("__start_BTF");
    const end = this.symbols?.address("__stop_BTF");
    if (start === undefined || end === undefined) {
      throw new MemoryError(
        "NOT_DESCRIBED",
        "the kernel doesn't describe its types (CONFIG_DEBUG_INFO_BTF)",
      );
    }
    const btf = new Btf(this.#kept(start, btfSize(end - start)));
    return new Types(btf, () => [...this.moduleTypes.values()], this.budget);
  }

  /** The kernel frees what a module was loaded with, but keeps the types for BPF. */
  #readModuleTypes(): Map<string, Btf> {
    const base = this.expectTypes().vmlinux;
    const found = new Map<string, Btf>();
    for (const one of this.list(this.expectSymbol("btf_modules"), "btf_module", "list")) {
      const name = one.follow("module")?.text("name");
      const btf = one.follow("btf");
      if (name === undefined || btf === undefined || found.size === MAX_MODULES) continue;
      const types = this.attempt(`module ${name}'s types`, () => {
        const size = btfSize(btf.u64("data_size"));
        return new Btf(this.#kept(btf.pointer("data"), size), base);
      });
      if (types !== undefined) found.set(name, types);
    }
    return found;
  }
}

const rangesOf = (module: Module): AddressRange<Module>[] =>
  module.parts.map(({ base, size }) => ({ start: base, end: base + BigInt(size), value: module }));

function btfSize(size: bigint): number {
  if (size > 0n && size <= MAX_BTF_BYTES) return Number(size);
  throw new MemoryError("DAMAGED", `BTF of ${size} bytes`);
}

function notMapped(address: bigint): MemoryError {
  return new MemoryError("NOT_MAPPED", `nothing is mapped at ${hex(address)}`);
}
