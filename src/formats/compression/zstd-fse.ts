import { BROKEN } from "./output.js";
import { type BackwardBits, ForwardBits } from "./zstd-bits.js";

/** A table of finite state entropy coding (RFC 8878, 4.1): one entry for each state. */
export interface FseTable {
  /** A state has so many bits. */
  readonly log: number;
  readonly symbols: Uint8Array;
  /** Bits to read for the next state, and what to add to them. */
  readonly bits: Uint8Array;
  readonly bases: Uint16Array;
}

/** A state of a table that a bit stream moves on. */
export class FseState {
  readonly #table: FseTable;
  readonly #bits: BackwardBits;
  #state: number;

  constructor(table: FseTable, bits: BackwardBits) {
    this.#table = table;
    this.#bits = bits;
    this.#state = bits.read(table.log);
  }

  get symbol(): number {
    return this.#table.symbols[this.#state] ?? 0;
  }

  next(): void {
    const { bits, bases } = this.#table;
    this.#state = (bases[this.#state] ?? 0) + this.#bits.read(bits[this.#state] ?? 0);
  }
}

/** The table of a symbol that needs no bits. */
export const singleSymbol = (symbol: number): FseTable => ({
  log: 0,
  symbols: Uint8Array.of(symbol),
  bits: Uint8Array.of(0),
  bases: Uint16Array.of(0),
});

/** Reads a table's description (4.1.1). `bytes` is what it took. */
export function readFseTable(
  input: Uint8Array,
  maxLog: number,
  maxSymbol: number,
): { readonly table: FseTable; readonly bytes: number } {
  const bits = new ForwardBits(input);
  const log = bits.read(4) + 5;
  if (log > maxLog) throw BROKEN;
  const counts: number[] = [];
  /** Still to be given out, and one more. */
  let remaining = (1 << log) + 1;
  let width = log + 1;
  while (remaining > 1) {
    if (counts.length > maxSymbol) throw BROKEN;
    // Values below `short` take a bit less.
    const half = 1 << (width - 1);
    const short = 2 * half - 1 - remaining;
    let value = bits.peek(width) & (half - 1);
    if (value < short) {
      bits.skip(width - 1);
    } else {
      value = bits.read(width);
      if (value >= half) value -= short;
    }
    const count = value - 1;
    counts.push(count);
    remaining -= Math.abs(count);
    if (count === 0) {
      let zeros: number;
      do {
        zeros = bits.read(2);
        for (let i = 0; i < zeros; i++) counts.push(0);
      } while (zeros === 3);
    }
    while (remaining < 1 << (width - 1) && width > 1) width--;
  }
  if (remaining !== 1 || counts.length > maxSymbol + 1) throw BROKEN;
  return { table: fseTable(counts, log), bytes: bits.bytes };
}

/** A table from how often each symbol comes; -1 stands for less than once. Counts add up to 2^log. */
export function fseTable(counts: readonly number[], log: number): FseTable {
  const size = 1 << log;
  const symbols = new Uint8Array(size);
  const next = counts.map((count) => Math.abs(count));
  let high = size - 1;
  for (const [symbol, count] of counts.entries()) {
    if (count === -1) symbols[high--] = symbol;
  }
  const step = (size >> 1) + (size >> 3) + 3;
  let at = 0;
  for (const [symbol, count] of counts.entries()) {
    for (let i = 0; i < count; i++) {
      symbols[at] = symbol;
      do at = (at + step) & (size - 1);
      while (at > high);
    }
  }
  const bits = new Uint8Array(size);
  const bases = new Uint16Array(size);
  for (const [state, symbol] of symbols.entries()) {
    const order = next[symbol] ?? 1;
    next[symbol] = order + 1;
    const width = log - (31 - Math.clz32(order));
    bits[state] = width;
    bases[state] = (order << width) - size;
  }
  return { log, symbols, bits, bases };
}
