import { MemoryError } from "../errors.js";
import { firstPlace } from "../first-place.js";
import type { VmcoreInfo } from "./vmcore-info.js";

/** A million names in 16 MiB: more than any kernel has. */
const MAX_NAMES = 1 << 20;
const MAX_NAMES_BYTES = 16 << 20;

/** Each byte of a compressed name stands for one of so many tokens. */
const TOKENS = 256;
const MAX_TOKEN_BYTES = 1024;
const TOKEN_TABLE_BYTES = 1 << 16;

/** What a name has at most, with its type (KSYM_NAME_LEN, and a NUL). */
const MAX_NAME_BYTES = 513;

/** No kernel has more symbols of one name (static functions in headers). */
const MAX_SAME_NAME = 4096;
/** Other names have the same sum by chance, and no kernel has so many of them, but they can be made to have it. */
const MAX_OTHER_NAMES = 32;

/** Of the sum that tells names apart: any odd number. */
const FACTOR = 0x01000193;

/** Reads of the kernel's memory; throws MemoryError where nothing is mapped. */
export type Read = (address: bigint, length: number) => Buffer;

/** How the addresses are kept. */
interface Addresses {
  readonly base: bigint;
  /** A symbol's distance from the base, by its number; undefined where it is a per-CPU symbol kept as it is. */
  distance(index: number): number | undefined;
  /** Of such a per-CPU symbol. */
  absolute(index: number): number;
}

/** The symbols of vmlinux: names stay compressed, and are told apart by sums (Linux, kernel/kallsyms.c). */
export class Kallsyms {
  readonly count: number;
  readonly #names: Buffer;
  /** Where each name's length is. */
  readonly #at: Uint32Array;
  /** A sum over each name, without its type. */
  readonly #sums: Int32Array;
  readonly #tokens: readonly string[];
  readonly #addresses: Addresses;
  /** The numbers of the symbols in the order of their distances, and these. */
  #sorted: { readonly order: Uint32Array; readonly distances: Float64Array } | undefined;

  private constructor(names: Names, tokens: readonly Buffer[], addresses: Addresses) {
    this.count = names.at.length;
    this.#names = names.bytes;
    this.#at = names.at;
    this.#sums = names.sums;
    this.#tokens = tokens.map((token) => token.toString("latin1"));
    this.#addresses = addresses;
  }

  /** Throws MemoryError where VMCOREINFO doesn't say where they are (Linux before 6.0), or they make no sense. */
  static read(info: VmcoreInfo, read: Read): Kallsyms {
    const count = read(info.expectSymbol("kallsyms_num_syms"), 4).readUInt32LE(0);
    if (count === 0 || count > MAX_NAMES) {
      throw new MemoryError("DAMAGED", `kallsyms: ${count} symbols`);
    }
    const tokens = readTokens(info, read);
    const namesAt = info.expectSymbol("kallsyms_names");
    const names = readNames(namesAt, count, tokens, read);
    const addresses = addressesOf(info, count, read, (form) => {
      const table = new Kallsyms(names, tokens, form);
      const stext = info.symbol("_stext");
      return stext === undefined || table.address("_stext") === stext;
    });
    return new Kallsyms(names, tokens, addresses);
  }

  /** Of a symbol's number: its name, and its type as `nm` prints it. */
  name(index: number): { readonly name: string; readonly type: string } {
    const text = this.#text(index);
    return { name: text.slice(1), type: text.slice(0, 1) };
  }

  addressOf(index: number): bigint {
    const distance = this.#addresses.distance(index);
    if (distance === undefined) return BigInt(this.#addresses.absolute(index));
    return BigInt.asUintN(64, this.#addresses.base + BigInt(distance));
  }

  /** Of several of one name, the first. */
  address(name: string): bigint | undefined {
    for (const index of this.indexes(name)) return this.addressOf(index);
    return undefined;
  }

  /** The numbers of all symbols of that name. */
  *indexes(name: string): Generator<number, void, void> {
    const sum = sumOf(Buffer.from(name, "latin1"));
    let same = 0;
    let others = 0;
    for (let i = this.#sums.indexOf(sum); i >= 0; i = this.#sums.indexOf(sum, i + 1)) {
      if (this.#isCalled(i, name)) {
        yield i;
        if (++same === MAX_SAME_NAME) return;
      } else if (++others === MAX_OTHER_NAMES) {
        return;
      }
    }
  }

  /**
   * The number of the last symbol that isn't above `address`, of those with the same address the first; and where the
   * next begins.
   */
  at(address: bigint): { readonly index: number; readonly end: bigint } | undefined {
    this.#sorted ??= this.#sort();
    const { order, distances } = this.#sorted;
    const distance = Number(address - this.#addresses.base);
    const after = firstPlace(distances.length, (i) => (distances[i] ?? 0) > distance);
    const end = distances[after];
    const start = distances[after - 1];
    if (start === undefined || end === undefined) return undefined;
    const first = firstPlace(distances.length, (i) => (distances[i] ?? 0) >= start);
    return { index: order[first] ?? 0, end: this.#addresses.base + BigInt(end) };
  }

  #sort(): { readonly order: Uint32Array; readonly distances: Float64Array } {
    const { distance } = this.#addresses;
    const all = new Float64Array(this.count);
    const order = new Uint32Array(this.count);
    let count = 0;
    let isSorted = true;
    for (let i = 0; i < this.count; i++) {
      const one = distance(i);
      if (one === undefined) continue;
      if (count > 0 && one < (all[count - 1] ?? 0)) isSorted = false;
      all[count] = one;
      order[count++] = i;
    }
    const distances = all.subarray(0, count);
    if (isSorted) return { order: order.subarray(0, count), distances };
    // One number of each distance and its place, which 53 bits hold: numbers alone are sorted far faster.
    const keys = distances.map((one, place) => one * MAX_NAMES + place).sort();
    return {
      order: Uint32Array.from(keys, (key) => order[modulo(key)] ?? 0),
      distances: keys.map((key) => Math.floor(key / MAX_NAMES)),
    };
  }

  /** Looks no further than where the names differ. */
  #isCalled(index: number, name: string): boolean {
    const { start, length } = lengthAt(this.#names, this.#at[index] ?? 0);
    // Of the first token, the first character is the symbol's type.
    let at = -1;
    for (let i = start; i < start + length; i++) {
      const token = this.#tokens[this.#names[i] ?? 0] ?? "";
      const part = at < 0 ? token.slice(1) : token;
      at = Math.max(at, 0);
      if (!name.startsWith(part, at)) return false;
      at += part.length;
    }
    return at === name.length;
  }

  #text(index: number): string {
    const at = this.#at[index];
    if (at === undefined) return "";
    const { start, length } = lengthAt(this.#names, at);
    let text = "";
    for (let i = start; i < start + length && text.length < MAX_NAME_BYTES; i++) {
      text += this.#tokens[this.#names[i] ?? 0] ?? "";
    }
    return text;
  }
}

/** What is left of a key: its place. */
const modulo = (key: number): number => key - Math.floor(key / MAX_NAMES) * MAX_NAMES;

interface Names {
  readonly bytes: Buffer;
  readonly at: Uint32Array;
  readonly sums: Int32Array;
}

/** A name's length is one byte; from 128 on two, 7 bits in the first (since Linux 6.1). */
function lengthAt(bytes: Buffer, at: number): { readonly start: number; readonly length: number } {
  const first = bytes[at] ?? 0;
  if (first < 0x80) return { start: at + 1, length: first };
  return { start: at + 2, length: (first & 0x7f) | ((bytes[at + 1] ?? 0) << 7) };
}

function readTokens(info: VmcoreInfo, read: Read): Buffer[] {
  const index = read(info.expectSymbol("kallsyms_token_index"), TOKENS * 2);
  const table = readSome(read, info.expectSymbol("kallsyms_token_table"), TOKEN_TABLE_BYTES);
  return Array.from({ length: TOKENS }, (_, i) => {
    const start = index.readUInt16LE(i * 2);
    const end = table.indexOf(0, start);
    if (start > table.length || end < 0 || end - start > MAX_TOKEN_BYTES) {
      throw new MemoryError("DAMAGED", "kallsyms: a token without an end");
    }
    return table.subarray(start, end);
  });
}

/** As much of so many bytes as is mapped. */
function readSome(read: Read, address: bigint, length: number): Buffer {
  for (let size = length; ; size >>>= 1) {
    try {
      return read(address, size);
    } catch (error) {
      if (!(error instanceof MemoryError) || error.code !== "NOT_MAPPED" || size < 256) throw error;
    }
  }
}

const sumOf = (bytes: Uint8Array): number => {
  let sum = 0;
  for (const byte of bytes) sum = (Math.imul(sum, FACTOR) + byte) | 0;
  return sum;
};

/** Looks at each compressed name once: a sum of two texts joined is made of the sums of both. */
function readNames(address: bigint, count: number, tokens: readonly Buffer[], read: Read): Names {
  const sums = Int32Array.from(tokens, sumOf);
  const factors = Int32Array.from(tokens, (token) =>
    token.reduce((factor) => Math.imul(factor, FACTOR), 1),
  );
  // A name's first token begins with the symbol's type.
  const firstSums = Int32Array.from(tokens, (token) => sumOf(token.subarray(1)));
  const names: Names = {
    bytes: Buffer.alloc(0),
    at: new Uint32Array(count),
    sums: new Int32Array(count),
  };
  let bytes = readSome(read, address, Math.min(MAX_NAMES_BYTES, count * 16 + 4096));
  let at = 0;
  for (let i = 0; i < count; i++) {
    // The longest name that can follow: 2 bytes of length, and 2^15.
    if (at + 2 + 2 ** 15 > bytes.length && bytes.length < MAX_NAMES_BYTES) {
      bytes = readSome(read, address, Math.min(MAX_NAMES_BYTES, bytes.length * 2));
    }
    const { start, length } = lengthAt(bytes, at);
    if (length === 0 || start + length > bytes.length) {
      throw new MemoryError("DAMAGED", `kallsyms: the name of symbol ${i} has ${length} bytes`);
    }
    names.at[i] = at;
    let sum = firstSums[bytes[start] ?? 0] ?? 0;
    for (let k = start + 1; k < start + length; k++) {
      const token = bytes[k] ?? 0;
      sum = (Math.imul(sum, factors[token] ?? 0) + (sums[token] ?? 0)) | 0;
    }
    names.sums[i] = sum;
    at = start + length;
  }
  return { ...names, bytes: bytes.subarray(0, at) };
}

/**
 * Chooses the form in which the addresses are kept: `fits` says whether a form leads to the address that VMCOREINFO
 * has for a symbol. Until 7.0 they are kept as distances from a base, where those of per-CPU symbols are kept as they
 * are; since then each is kept as its distance from its own place in the table.
 */
function addressesOf(
  info: VmcoreInfo,
  count: number,
  read: Read,
  fits: (form: Addresses) => boolean,
): Addresses {
  const at = info.expectSymbol("kallsyms_offsets");
  const bytes = read(at, count * 4);
  const offsets = new Int32Array(
    bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length),
  );
  const offset = (i: number) => offsets[i] ?? 0;
  const forms: Addresses[] = [];
  const baseAt = info.symbol("kallsyms_relative_base");
  if (baseAt !== undefined) {
    const base = read(baseAt, 8).readBigUInt64LE(0);
    forms.push(
      {
        base,
        distance: (i) => (offset(i) >= 0 ? undefined : -1 - offset(i)),
        absolute: offset,
      },
      { base, distance: (i) => offset(i) >>> 0, absolute: offset },
    );
  }
  forms.push({ base: at, distance: (i) => i * 4 + offset(i), absolute: offset });
  const form = forms.find(fits);
  if (form !== undefined) return form;
  throw new MemoryError(
    "UNSUPPORTED",
    "kallsyms: its addresses are kept in a form that isn't known",
  );
}
