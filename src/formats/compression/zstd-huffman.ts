import { BROKEN } from "./output.js";
import { BackwardBits } from "./zstd-bits.js";
import { FseState, readFseTable } from "./zstd-fse.js";

const MAX_BITS = 11;
const MAX_SYMBOLS = 256;

/** A Huffman table (RFC 8878, 4.2): what the next `log` bits stand for. */
export interface HuffmanTable {
  readonly log: number;
  readonly symbols: Uint8Array;
  readonly bits: Uint8Array;
}

/** Reads a table's description. `bytes` is what it took. */
export function readHuffmanTable(input: Uint8Array): {
  readonly table: HuffmanTable;
  readonly bytes: number;
} {
  const [header = 0] = input;
  if (header < 128) {
    if (header > input.length - 1) throw BROKEN;
    return {
      table: huffmanTable(codedWeights(input.subarray(1, 1 + header))),
      bytes: 1 + header,
    };
  }
  const count = header - 127;
  const bytes = 1 + ((count + 1) >> 1);
  if (bytes > input.length) throw BROKEN;
  const weights = Array.from({ length: count }, (_, i) => {
    const byte = input[1 + (i >> 1)] ?? 0;
    return i % 2 === 0 ? byte >> 4 : byte & 15;
  });
  return { table: huffmanTable(weights), bytes };
}

/** Weights in one bit stream that two states share (4.2.1.2); it ends in the middle of a state. */
function codedWeights(input: Uint8Array): number[] {
  const { table, bytes } = readFseTable(input, 6, MAX_BITS + 1);
  const bits = new BackwardBits(input.subarray(bytes));
  let current = new FseState(table, bits);
  let other = new FseState(table, bits);
  if (bits.left < 0) throw BROKEN;
  const weights: number[] = [];
  while (weights.length < MAX_SYMBOLS) {
    weights.push(current.symbol);
    current.next();
    if (bits.left < 0) {
      weights.push(other.symbol);
      return weights;
    }
    [current, other] = [other, current];
  }
  throw BROKEN;
}

/** A table from weights (4.2.1): the last one isn't told, as it is what a full tree lacks. */
function huffmanTable(told: readonly number[]): HuffmanTable {
  const sum = told.reduce((total, weight) => total + (weight > 0 ? 2 ** (weight - 1) : 0), 0);
  if (sum === 0 || told.length >= MAX_SYMBOLS) throw BROKEN;
  const log = 32 - Math.clz32(sum);
  const rest = 2 ** log - sum;
  if (log > MAX_BITS || (rest & (rest - 1)) !== 0) throw BROKEN;
  const weights = [...told, 32 - Math.clz32(rest)];
  const symbols = new Uint8Array(1 << log);
  const bits = new Uint8Array(1 << log);
  let at = 0;
  for (let weight = 1; weight <= log; weight++) {
    for (const [symbol, of] of weights.entries()) {
      if (of !== weight) continue;
      const end = at + 2 ** (weight - 1);
      symbols.fill(symbol, at, end);
      bits.fill(log + 1 - weight, at, end);
      at = end;
    }
  }
  return { log, symbols, bits };
}

/** Decodes one stream of exactly `count` literals to `output`. */
function decodeStream(table: HuffmanTable, input: Uint8Array, output: Uint8Array): void {
  const bits = new BackwardBits(input);
  for (let i = 0; i < output.length; i++) {
    const code = bits.read(table.log);
    output[i] = table.symbols[code] ?? 0;
    const used = table.bits[code] ?? 0;
    bits.left += table.log - used;
    if (bits.left < 0) throw BROKEN;
  }
  if (bits.left !== 0) throw BROKEN;
}

/** Decodes literals that lie in one stream, or in four behind the sizes of three (3.1.1.3.1.6). */
export function decodeLiterals(
  table: HuffmanTable,
  input: Uint8Array,
  count: number,
  streams: 1 | 4,
): Uint8Array {
  const output = new Uint8Array(count);
  if (streams === 1) {
    decodeStream(table, input, output);
    return output;
  }
  const each = (count + 3) >> 2;
  if (input.length < 10 || 3 * each > count) throw BROKEN;
  let at = 6;
  for (let i = 0; i < 4; i++) {
    const size = i < 3 ? (input[2 * i] ?? 0) | ((input[2 * i + 1] ?? 0) << 8) : input.length - at;
    if (size <= 0 || at + size > input.length) throw BROKEN;
    decodeStream(table, input.subarray(at, at + size), output.subarray(i * each, (i + 1) * each));
    at += size;
  }
  return output;
}
