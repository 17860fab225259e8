import { MemoryError } from "../errors.js";

/** Kinds of types (Linux, include/uapi/linux/btf.h). */
export const Kind = {
  INT: 1,
  PTR: 2,
  ARRAY: 3,
  STRUCT: 4,
  UNION: 5,
  ENUM: 6,
  FWD: 7,
  TYPEDEF: 8,
  VOLATILE: 9,
  CONST: 10,
  RESTRICT: 11,
  FUNC: 12,
  FUNC_PROTO: 13,
  VAR: 14,
  DATASEC: 15,
  FLOAT: 16,
  DECL_TAG: 17,
  TYPE_TAG: 18,
  ENUM64: 19,
} as const;

const MAGIC = 0xeb9f;
const HEADER_BYTES = 24;
const TYPE_BYTES = 12;

/** Of what follows a type: bytes, and bytes for each of its elements. */
const EXTRA: Readonly<Record<number, readonly [number, number]>> = {
  [Kind.INT]: [4, 0],
  [Kind.PTR]: [0, 0],
  [Kind.ARRAY]: [12, 0],
  [Kind.STRUCT]: [0, 12],
  [Kind.UNION]: [0, 12],
  [Kind.ENUM]: [0, 8],
  [Kind.FWD]: [0, 0],
  [Kind.TYPEDEF]: [0, 0],
  [Kind.VOLATILE]: [0, 0],
  [Kind.CONST]: [0, 0],
  [Kind.RESTRICT]: [0, 0],
  [Kind.FUNC]: [0, 0],
  [Kind.FUNC_PROTO]: [0, 8],
  [Kind.VAR]: [4, 0],
  [Kind.DATASEC]: [0, 12],
  [Kind.FLOAT]: [0, 0],
  [Kind.DECL_TAG]: [4, 0],
  [Kind.TYPE_TAG]: [0, 0],
  [Kind.ENUM64]: [0, 12],
};

/** A modifier of a modifier, and so on: no compiler nests them so deep. */
const MAX_DEPTH = 64;
/** Names are those of C and Rust. */
const MAX_NAME_BYTES = 2048;

export interface Member {
  /** The name's offset among the strings; 0 where there is none. */
  readonly nameAt: number;
  readonly type: number;
  /** From the structure's begin. */
  readonly bit: number;
  /** Of a bit field, its bits; else 0. */
  readonly bits: number;
}

export interface Enumerator {
  /** The name's offset among the strings. */
  readonly nameAt: number;
  readonly value: bigint;
}

/**
 * A kernel's or a module's types (BTF, little-endian). Type ids of a module follow those of vmlinux, as do offsets of
 * its strings. Ids that lead nowhere are void.
 */
export class Btf {
  readonly base: Btf | undefined;
  /** What this holds of types begins with that id. */
  readonly firstId: number;
  /** One more than the last id. */
  readonly endId: number;
  readonly #data: Buffer;
  /** Where in #data each type is. */
  readonly #at: Uint32Array;
  readonly #names: Uint32Array;
  readonly #strings: Buffer;
  readonly #firstString: number;

  /** Throws MemoryError where that is no BTF; a type of an unknown kind ends it. */
  constructor(data: Buffer, base?: Btf) {
    this.base = base;
    const damaged = (what: string): never => {
      throw new MemoryError("DAMAGED", `BTF: ${what}`);
    };
    if (data.length < HEADER_BYTES || data.readUInt16LE(0) !== MAGIC) damaged("no header");
    const header = data.readUInt32LE(4);
    const section = (at: number) => {
      const start = header + data.readUInt32LE(at);
      const end = start + data.readUInt32LE(at + 4);
      if (end > data.length) damaged("it ends before its types or strings do");
      return data.subarray(start, end);
    };
    const types = section(8);
    this.#strings = section(16);
    if (this.#strings.length === 0 || this.#strings.at(-1) !== 0) damaged("strings without an end");
    this.#firstString = base === undefined ? 0 : base.endString;
    this.firstId = base?.endId ?? 1;
    this.#data = types;
    const at = new Uint32Array(Math.floor(types.length / TYPE_BYTES));
    const names = new Uint32Array(at.length);
    let count = 0;
    for (let next = 0; next + TYPE_BYTES <= types.length; count++) {
      const info = types.readUInt32LE(next + 4);
      const extra = EXTRA[(info >>> 24) & 0x1f];
      if (extra === undefined) break;
      const size = TYPE_BYTES + extra[0] + extra[1] * (info & 0xffff);
      if (next + size > types.length) break;
      at[count] = next;
      names[count] = types.readUInt32LE(next);
      next += size;
    }
    this.#at = at.subarray(0, count);
    this.#names = names.subarray(0, count);
    this.endId = this.firstId + count;
  }

  /** Of its own types, in bytes: with all that follows them, as members. */
  get typeBytes(): number {
    return this.#data.length;
  }

  /** What this holds of strings begins with that offset. */
  get firstString(): number {
    return this.#firstString;
  }

  /** One more than the last offset of a string. */
  get endString(): number {
    return this.#firstString + this.#strings.length;
  }

  /** Its own strings, each with a NUL behind it. */
  get strings(): Buffer {
    return this.#strings;
  }

  /** A name; a longer one than there can be is cut. */
  string(offset: number): string {
    if (offset < this.#firstString) return this.base?.string(offset) ?? "";
    const at = offset - this.#firstString;
    if (at >= this.#strings.length) return "";
    const bytes = this.#strings.subarray(at, at + MAX_NAME_BYTES);
    const end = bytes.indexOf(0);
    return bytes.toString("latin1", 0, end < 0 ? bytes.length : end);
  }

  /** The ids of the types of that name, of vmlinux's first. */
  *named(name: string): Generator<number, void, void> {
    if (this.base !== undefined) yield* this.base.named(name);
    const offsets = [this.#offsetOf(name), this.base?.offsetOf(name)];
    for (const offset of offsets) {
      if (offset === undefined) continue;
      for (let i = this.#names.indexOf(offset); i >= 0; i = this.#names.indexOf(offset, i + 1)) {
        yield this.firstId + i;
      }
    }
  }

  /** The offset of a string, where there is one that is the same. */
  offsetOf(name: string): number | undefined {
    return this.base?.offsetOf(name) ?? this.#offsetOf(name);
  }

  #offsetOf(name: string): number | undefined {
    if (name === "" || name.includes("\0")) return undefined;
    const at = this.#strings.indexOf(`\0${name}\0`, 0, "latin1");
    if (at >= 0) return this.#firstString + at + 1;
    // A module's strings don't begin with an empty one.
    const first = this.#strings.indexOf(`${name}\0`, 0, "latin1");
    return first === 0 ? this.#firstString : undefined;
  }

  /** Void is 0. */
  kind(id: number): number {
    return this.#read(id, ({ data, at }) => (data.readUInt32LE(at + 4) >>> 24) & 0x1f) ?? 0;
  }

  name(id: number): string {
    return this.#read(id, ({ data, at }) => this.string(data.readUInt32LE(at))) ?? "";
  }

  /** The name's offset among the strings; 0 where there is none. */
  nameAt(id: number): number {
    return this.#read(id, ({ data, at }) => data.readUInt32LE(at)) ?? 0;
  }

  /** Elements that follow it. */
  count(id: number): number {
    return this.#read(id, ({ data, at }) => data.readUInt32LE(at + 4) & 0xffff) ?? 0;
  }

  /** The type's flag: of an enum, that it is signed; of a structure, that members may be bit fields; of FWD, a union. */
  flag(id: number): boolean {
    return this.#read(id, ({ data, at }) => data.readUInt32LE(at + 4) >>> 31 === 1) ?? false;
  }

  /** The size in bytes, or the type that it refers to: what it is depends on the kind. */
  sizeOrType(id: number): number {
    return this.#read(id, ({ data, at }) => data.readUInt32LE(at + 8)) ?? 0;
  }

  /** Of an INT: whether it is signed, and its bits. */
  int(id: number): { readonly isSigned: boolean; readonly isBool: boolean; readonly bits: number } {
    const info = this.#read(id, ({ data, at }) => data.readUInt32LE(at + TYPE_BYTES)) ?? 0;
    const encoding = (info >>> 24) & 0xf;
    return { isSigned: (encoding & 1) !== 0, isBool: (encoding & 4) !== 0, bits: info & 0xff };
  }

  array(id: number): { readonly type: number; readonly length: number } {
    const found = this.#read(id, ({ data, at }) => ({
      type: data.readUInt32LE(at + TYPE_BYTES),
      length: data.readUInt32LE(at + TYPE_BYTES + 8),
    }));
    return found ?? { type: 0, length: 0 };
  }

  members(id: number): Member[] {
    return this.#elements(id, 12, (data, at, flag) => {
      const offset = data.readUInt32LE(at + 8);
      return {
        nameAt: data.readUInt32LE(at),
        type: data.readUInt32LE(at + 4),
        bit: flag ? offset & 0xffffff : offset,
        bits: flag ? offset >>> 24 : 0,
      };
    });
  }

  /** The types of a function's parameters. */
  parameters(id: number): number[] {
    return this.#elements(id, 8, (data, at) => data.readUInt32LE(at + 4));
  }

  enumerators(id: number): Enumerator[] {
    if (this.kind(id) === Kind.ENUM64) {
      return this.#elements(id, 12, (data, at, flag) => {
        const value = data.readBigUInt64LE(at + 4);
        return {
          nameAt: data.readUInt32LE(at),
          value: flag ? BigInt.asIntN(64, value) : value,
        };
      });
    }
    return this.#elements(id, 8, (data, at, flag) => ({
      nameAt: data.readUInt32LE(at),
      value: BigInt(flag ? data.readInt32LE(at + 4) : data.readUInt32LE(at + 4)),
    }));
  }

  /** What a type is without names and qualifiers. */
  stripped(id: number): number {
    let type = id;
    for (let depth = 0; depth < MAX_DEPTH; depth++) {
      const kind = this.kind(type);
      const isModifier =
        kind === Kind.TYPEDEF ||
        kind === Kind.VOLATILE ||
        kind === Kind.CONST ||
        kind === Kind.RESTRICT ||
        kind === Kind.TYPE_TAG;
      if (!isModifier) return type;
      type = this.sizeOrType(type);
    }
    return 0;
  }

  /** In bytes; 0 of what has none. */
  size(id: number, depth = 0): number {
    const type = this.stripped(id);
    switch (this.kind(type)) {
      case Kind.INT:
      case Kind.STRUCT:
      case Kind.UNION:
      case Kind.ENUM:
      case Kind.ENUM64:
      case Kind.FLOAT:
      case Kind.DATASEC:
        return this.sizeOrType(type);
      case Kind.PTR:
        return 8;
      case Kind.ARRAY: {
        const { type: element, length } = this.array(type);
        return depth < MAX_DEPTH ? length * this.size(element, depth + 1) : 0;
      }
      default:
        return 0;
    }
  }

  #elements<T>(
    id: number,
    size: number,
    read: (data: Buffer, at: number, flag: boolean) => T,
  ): T[] {
    const count = this.count(id);
    const flag = this.flag(id);
    const found = this.#read(id, ({ data, at }) =>
      Array.from({ length: count }, (_, i) => read(data, at + TYPE_BYTES + i * size, flag)),
    );
    return found ?? [];
  }

  #read<T>(id: number, read: (place: { data: Buffer; at: number }) => T): T | undefined {
    if (id < this.firstId) return this.base === undefined ? undefined : this.base.#read(id, read);
    const at = this.#at[id - this.firstId];
    return at === undefined ? undefined : read({ data: this.#data, at });
  }
}
