import { MemoryError } from "../errors.js";
import { type Btf, Kind } from "./btf.js";
import type { Budget } from "./budget.js";

/** Structures in structures: no kernel nests them so deep. */
const MAX_DEPTH = 32;

/** What a member, an enumerator, and so many bytes of names cost to look at, in units of the budget. */
const WORK_PER_ELEMENT = 0.25;
const NAMES_PER_WORK = 20_000;
/** What an enumerator takes beside its name. */
const CONSTANT_BYTES = 64;

/** Where in a structure something is, and what. */
export interface Field {
  readonly btf: Btf;
  /** Without names and qualifiers. */
  readonly type: number;
  /** In bytes, from the structure's begin. */
  readonly offset: number;
  /** In bytes; of a bit field, of the type it is declared with. */
  readonly size: number;
  /** Of a bit field: its first bit from the structure's begin, and how many it has. */
  readonly bits: { readonly first: number; readonly count: number } | undefined;
}

/** A structure or union as BTF describes it. */
export class StructType {
  readonly btf: Btf;
  readonly id: number;
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  readonly #budget: Budget;
  readonly #fields = new Map<string, Field | undefined>();

  constructor(btf: Btf, id: number, budget: Budget) {
    this.btf = btf;
    this.id = id;
    this.#budget = budget;
    this.name = btf.name(id);
    this.size = btf.size(id);
  }

  /** By a path, as `se.exec_start` or `mem[2].base`; members of unnamed structures are found, too. */
  field(path: string): Field | undefined {
    if (!this.#fields.has(path)) this.#fields.set(path, this.#find(path));
    return this.#fields.get(path);
  }

  has(path: string): boolean {
    return this.field(path) !== undefined;
  }

  /** Throws MemoryError where there is no such member. */
  expect(path: string): Field {
    const field = this.field(path);
    if (field !== undefined) return field;
    throw new MemoryError(
      "NOT_DESCRIBED",
      `the kernel's structure ${this.name || "(unnamed)"} has no member ${path}`,
    );
  }

  /** In bytes. Throws MemoryError where there is no such member. */
  offset(path: string): number {
    return this.expect(path).offset;
  }

  /** The members' names, of those that have one, in the order of the structure. */
  get members(): string[] {
    const names = this.btf.members(this.id).map(({ nameAt }) => this.btf.string(nameAt));
    return names.filter((name) => name !== "");
  }

  #find(path: string): Field | undefined {
    const { btf } = this;
    let found: Field = { btf, type: this.id, offset: 0, size: this.size, bits: undefined };
    for (const [, name, index] of path.matchAll(/([A-Za-z_][A-Za-z0-9_]*)|\[([0-9]{1,9})\]/g)) {
      const next =
        name === undefined ? element(found, Number(index)) : member(found, name, this.#budget);
      if (next === undefined) return undefined;
      found = next;
    }
    return found;
  }
}

function element({ btf, type, offset }: Field, index: number): Field | undefined {
  if (btf.kind(type) !== Kind.ARRAY) return undefined;
  const array = btf.array(type);
  const size = btf.size(array.type);
  // One of length 0 goes on behind the structure.
  if (array.length > 0 && index >= array.length) return undefined;
  const bits = undefined;
  return { btf, type: btf.stripped(array.type), offset: offset + index * size, size, bits };
}

/** `seen` are unnamed structures without such a member: there may be two ways to each, and twice as many to those in it. */
function member(
  { btf, type, offset }: Field,
  name: string,
  budget: Budget,
  depth = 0,
  seen = new Set<number>(),
): Field | undefined {
  const kind = btf.kind(type);
  if ((kind !== Kind.STRUCT && kind !== Kind.UNION) || depth > MAX_DEPTH) return undefined;
  if (seen.has(type)) return undefined;
  seen.add(type);
  budget.spend(btf.count(type) * WORK_PER_ELEMENT);
  const members = btf.members(type);
  for (const one of members) {
    if (btf.string(one.nameAt) !== name) continue;
    const size = btf.size(one.type);
    const bits = one.bits > 0 ? { first: offset * 8 + one.bit, count: one.bits } : undefined;
    return {
      ...{ btf, type: btf.stripped(one.type), size, bits },
      offset: offset + Math.floor(one.bit / 8),
    };
  }
  for (const one of members) {
    if (btf.string(one.nameAt) !== "") continue;
    const at = offset + Math.floor(one.bit / 8);
    const inner = { btf, type: btf.stripped(one.type), offset: at, size: 0, bits: undefined };
    const found = member(inner, name, budget, depth + 1, seen);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The types of a kernel and its modules. */
export class Types {
  readonly vmlinux: Btf;
  readonly #modules: () => readonly Btf[];
  readonly #structs = new Map<string, StructType | undefined>();
  readonly #enums = new Map<string, ReadonlyMap<string, bigint> | undefined>();
  readonly #sizes = new Map<string, number | undefined>();
  readonly #budget: Budget;
  #constants: ReadonlyMap<string, bigint> | undefined;

  /** The modules' are asked for when a name isn't vmlinux's. What is looked for spends from the budget. */
  constructor(vmlinux: Btf, modules: () => readonly Btf[], budget: Budget) {
    this.vmlinux = vmlinux;
    this.#modules = modules;
    this.#budget = budget;
  }

  /** A structure, a union, or one that a typedef names; vmlinux's, else the first module's that has one. */
  struct(name: string): StructType | undefined {
    if (!this.#structs.has(name)) this.#structs.set(name, this.#findStruct(name));
    return this.#structs.get(name);
  }

  /** Throws MemoryError where there is none. */
  expect(name: string): StructType {
    const type = this.struct(name);
    if (type !== undefined) return type;
    throw new MemoryError("NOT_DESCRIBED", `the kernel's BTF has no structure ${name}`);
  }

  /** In bytes; undefined where there is no type of that name. */
  size(name: string): number | undefined {
    if (!this.#sizes.has(name)) this.#sizes.set(name, this.#findSize(name));
    return this.#sizes.get(name);
  }

  #findSize(name: string): number | undefined {
    this.#spendOnNames(this.vmlinux);
    for (const id of this.vmlinux.named(name)) {
      const size = this.vmlinux.size(id);
      if (size > 0) return size;
    }
    return this.struct(name)?.size;
  }

  /** An enum's names and values. */
  enum(name: string): ReadonlyMap<string, bigint> | undefined {
    if (!this.#enums.has(name)) {
      this.#spendOnNames(this.vmlinux);
      const found = [...this.vmlinux.named(name)].find((id) => isEnum(this.vmlinux, id));
      this.#enums.set(name, found === undefined ? undefined : this.#readEnum(found));
    }
    return this.#enums.get(name);
  }

  /** The value of a constant of any enum, also of those without a name. */
  constant(name: string): bigint | undefined {
    this.#constants ??= this.#readConstants();
    return this.#constants.get(name);
  }

  #readConstants(): ReadonlyMap<string, bigint> {
    const { vmlinux } = this;
    const found = new Map<string, bigint>();
    for (let id = vmlinux.firstId; id < vmlinux.endId; id++) {
      if (isEnum(vmlinux, id)) this.#readEnum(id, found);
    }
    return found;
  }

  /** Adds an enum's names and values; of several of one name the first stays. */
  #readEnum(id: number, found = new Map<string, bigint>()): ReadonlyMap<string, bigint> {
    this.#budget.spend(this.vmlinux.count(id) * WORK_PER_ELEMENT);
    for (const { nameAt, value } of this.vmlinux.enumerators(id)) {
      const name = this.vmlinux.string(nameAt);
      if (found.has(name)) continue;
      this.#budget.keep(CONSTANT_BYTES + name.length);
      found.set(name, value);
    }
    return found;
  }

  /** All strings are looked through for a name. */
  #spendOnNames({ endString }: Btf): void {
    this.#budget.spend(1 + endString / NAMES_PER_WORK);
  }

  #findStruct(name: string): StructType | undefined {
    this.#spendOnNames(this.vmlinux);
    const own = findStruct(this.vmlinux, name, this.#budget);
    if (own !== undefined) return own;
    for (const btf of this.#modules()) {
      this.#budget.spend((btf.endString - (btf.base?.endString ?? 0)) / NAMES_PER_WORK);
      const found = findStruct(btf, name, this.#budget);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

const isEnum = (btf: Btf, id: number): boolean => {
  const kind = btf.kind(id);
  return kind === Kind.ENUM || kind === Kind.ENUM64;
};

function findStruct(btf: Btf, name: string, budget: Budget): StructType | undefined {
  const found = [...btf.named(name)].map((id) => ({ id, kind: btf.kind(id) }));
  const isStruct = (kind: number) => kind === Kind.STRUCT || kind === Kind.UNION;
  const id =
    found.find(({ kind }) => isStruct(kind))?.id ??
    found
      .filter(({ kind }) => kind === Kind.TYPEDEF)
      .map((one) => btf.stripped(one.id))
      .find((one) => isStruct(btf.kind(one)));
  return id === undefined ? undefined : new StructType(btf, id, budget);
}
