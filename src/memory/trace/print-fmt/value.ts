/** An integer type of C. */
export interface IntegerType {
  readonly bits: 8 | 16 | 32 | 64;
  readonly signed: boolean;
}

export const INT: IntegerType = { bits: 32, signed: true };
export const U32: IntegerType = { bits: 32, signed: false };
export const LONG: IntegerType = { bits: 64, signed: true };
export const U64: IntegerType = { bits: 64, signed: false };

/** What an expression has: an integer, a text (of bytes, as latin1), or an array in the record and the type of its elements. */
export type Type =
  | {
      readonly kind: "integer";
      readonly type: IntegerType;
      /** Of a pointer: how many bytes it goes on by when 1 is added. */
      readonly step?: bigint | undefined;
    }
  | { readonly kind: "text" }
  | { readonly kind: "bytes"; readonly element: IntegerType };

export type Value = bigint | string | Buffer;

/** An expression that has been compiled: `evaluate` gets an event's data. */
export interface Expression {
  readonly type: Type;
  evaluate(record: Buffer): Value;
}

/** What an expression asks of the kernel whose it is. */
export interface Surroundings {
  /** An enumerator's value. */
  constant(name: string): bigint | undefined;
  /** What a variable of 64 bits holds. */
  variable(name: string): bigint | undefined;
  /** In bytes; undefined of a structure that isn't known. */
  sizeOf(struct: string): number | undefined;
  /** A typedef of an integer. */
  integerType(name: string): IntegerType | undefined;
  /** As %ps, or with the offset as %pS. */
  symbol(address: bigint, withOffset: boolean): string;
  /** As %p shows it. */
  pointer(address: bigint): string;
  /** The text at an address in the kernel, as latin1; undefined where there is none. */
  text(address: bigint): string | undefined;
  /** For what takes longer than any of the kernel's own texts does, in units of the budget. */
  spend(work: number): void;
}

export function wrapped(value: bigint, { bits, signed }: IntegerType): bigint {
  return signed ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value);
}

/** An integer in a record; what isn't in it reads as 0. */
export function readInteger(record: Buffer, offset: number, type: IntegerType): bigint {
  const { bits, signed } = type;
  if (offset < 0 || offset + bits / 8 > record.length) return 0n;
  if (bits === 64) return signed ? record.readBigInt64LE(offset) : record.readBigUInt64LE(offset);
  const size = bits / 8;
  return BigInt(signed ? record.readIntLE(offset, size) : record.readUIntLE(offset, size));
}

/** A line is no longer (TRACE_SEQ_BUFFER_SIZE), so no more bytes of an array are shown. */
export const MAX_LINE = 8192;

/** Up to NUL. */
export function textOf(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("latin1", 0, end < 0 ? bytes.length : end);
}
