import { MemoryError } from "../errors.js";
import { type Btf, Kind } from "./btf.js";
import type { Budget } from "./budget.js";
import type { Field, StructType } from "./types.js";

/** A structure that is larger isn't one of the kernel's. */
const MAX_SIZE = 1 << 20;

/** What a structure is read from. */
export interface StructSource {
  readonly budget: Budget;
  /** Throws MemoryError where nothing is mapped. */
  read(address: bigint, length: number): Buffer;
  structType(btf: Btf, id: number): StructType;
  struct(type: string, address: bigint): Struct;
}

/** A structure in the guest's memory, read when it is first asked, and decoded from that copy. */
export class Struct {
  readonly address: bigint;
  readonly type: StructType;
  readonly #source: StructSource;
  /** What was read, and where in it this begins: a nested structure shares its outer one's copy. */
  #copy: { readonly bytes: Buffer; readonly at: number } | undefined;
  readonly #outer: { readonly struct: Struct; readonly at: number } | undefined;

  constructor(
    source: StructSource,
    type: StructType,
    address: bigint,
    outer?: { readonly struct: Struct; readonly at: number },
  ) {
    this.#source = source;
    this.type = type;
    this.address = address;
    this.#outer = outer;
  }

  has(path: string): boolean {
    return this.type.has(path);
  }

  /** A number of at most 53 bits: others must be read by `u64`. */
  number(path: string): number {
    const { field, bytes, at } = this.#find(path);
    const { bits, size } = field;
    if (bits === undefined && size <= 4 && size > 0 && at + size <= bytes.length) {
      return isSigned(field) ? bytes.readIntLE(at, size) : bytes.readUIntLE(at, size);
    }
    const value = this.#integer(path);
    if (value >= -(2n ** 53n) && value <= 2n ** 53n) return Number(value);
    throw new MemoryError("DAMAGED", `${this.#name(path)} is ${value}: more than can be`);
  }

  u64(path: string): bigint {
    return BigInt.asUintN(64, this.#integer(path));
  }

  i64(path: string): bigint {
    return BigInt.asIntN(64, this.#integer(path));
  }

  pointer(path: string): bigint {
    const { bytes, at } = this.#find(path);
    if (at + 8 > bytes.length) throw this.#beyond(path);
    return bytes.readBigUInt64LE(at);
  }

  /** The text in an array of characters, up to NUL or its end. */
  text(path: string): string {
    const bytes = this.bytes(path);
    const end = bytes.indexOf(0);
    return bytes.toString("latin1", 0, end < 0 ? bytes.length : end);
  }

  /** The member as it is, a part of the copy. */
  bytes(path: string): Buffer {
    const { field, bytes, at } = this.#find(path);
    if (at + field.size > bytes.length) throw this.#beyond(path);
    return bytes.subarray(at, at + field.size);
  }

  /** Elements of an array. */
  length(path: string): number {
    const { btf, type } = this.type.expect(path);
    return btf.kind(type) === Kind.ARRAY ? btf.array(type).length : 0;
  }

  /** The member's own address. */
  at(path: string): bigint {
    return this.address + BigInt(this.type.offset(path));
  }

  /** A structure in this one, decoded from the same copy. */
  struct(path: string): Struct {
    const { btf, type, offset, size } = this.type.expect(path);
    const kind = btf.kind(type);
    if (kind !== Kind.STRUCT && kind !== Kind.UNION) {
      throw new MemoryError("NOT_DESCRIBED", `${this.#name(path)} is no structure`);
    }
    const address = this.address + BigInt(offset);
    const isInside = offset + size <= this.type.size;
    const outer = isInside ? { struct: this as Struct, at: offset } : undefined;
    return new Struct(this.#source, this.#source.structType(btf, type), address, outer);
  }

  /** What a pointer to a structure points to, undefined for NULL. */
  follow(path: string): Struct | undefined {
    const { btf, type } = this.type.expect(path);
    const target = btf.kind(type) === Kind.PTR ? btf.stripped(btf.sizeOrType(type)) : 0;
    const kind = btf.kind(target);
    if (kind !== Kind.STRUCT && kind !== Kind.UNION && kind !== Kind.FWD) {
      throw new MemoryError("NOT_DESCRIBED", `${this.#name(path)} points to no structure`);
    }
    const address = this.pointer(path);
    if (address === 0n) return undefined;
    // Where it is only declared, another one of that name may define it.
    if (kind === Kind.FWD) return this.#source.struct(btf.name(target), address);
    return new Struct(this.#source, this.#source.structType(btf, target), address);
  }

  #find(path: string): { field: Field; bytes: Buffer; at: number } {
    const field = this.type.expect(path);
    const copy = this.#read();
    return { field, bytes: copy.bytes, at: copy.at + field.offset };
  }

  #read(): { readonly bytes: Buffer; readonly at: number } {
    if (this.#copy !== undefined) return this.#copy;
    if (this.#outer !== undefined) {
      const { bytes, at } = this.#outer.struct.#read();
      this.#copy = { bytes, at: at + this.#outer.at };
      return this.#copy;
    }
    if (this.type.size > MAX_SIZE) {
      throw new MemoryError("DAMAGED", `a structure ${this.type.name} of ${this.type.size} bytes`);
    }
    this.#source.budget.keep(this.type.size);
    this.#copy = { bytes: this.#source.read(this.address, this.type.size), at: 0 };
    return this.#copy;
  }

  #integer(path: string): bigint {
    const { field, bytes, at } = this.#find(path);
    const { bits, size, offset } = field;
    if (bits !== undefined) {
      const start = at - offset + Math.floor(bits.first / 8);
      const length = Math.ceil(((bits.first % 8) + bits.count) / 8);
      if (start + length > bytes.length) throw this.#beyond(path);
      let value = 0n;
      for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[start + i] ?? 0);
      value = BigInt.asUintN(bits.count, value >> BigInt(bits.first % 8));
      return isSigned(field) ? BigInt.asIntN(bits.count, value) : value;
    }
    if (at + size > bytes.length) throw this.#beyond(path);
    if (size === 8) return isSigned(field) ? bytes.readBigInt64LE(at) : bytes.readBigUInt64LE(at);
    if (size > 0 && size <= 4) {
      return BigInt(isSigned(field) ? bytes.readIntLE(at, size) : bytes.readUIntLE(at, size));
    }
    throw new MemoryError("NOT_DESCRIBED", `${this.#name(path)} is no number`);
  }

  #name(path: string): string {
    return `${this.type.name || "(unnamed)"}.${path}`;
  }

  #beyond(path: string): MemoryError {
    return new MemoryError("NOT_DESCRIBED", `${this.#name(path)} lies behind the structure's end`);
  }
}

function isSigned({ btf, type }: Field): boolean {
  const kind = btf.kind(type);
  if (kind === Kind.INT) return btf.int(type).isSigned;
  return (kind === Kind.ENUM || kind === Kind.ENUM64) && btf.flag(type);
}
