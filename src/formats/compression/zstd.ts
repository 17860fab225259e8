import { BROKEN, CUT, type Decoded, decodeInto, type Output } from "./output.js";
import { BackwardBits } from "./zstd-bits.js";
import { FseState, type FseTable, fseTable, readFseTable, singleSymbol } from "./zstd-fse.js";
import { decodeLiterals, type HuffmanTable, readHuffmanTable } from "./zstd-huffman.js";

/** A frame's first bytes (RFC 8878, 3.1.1). */
const MAGIC = [0x28, 0xb5, 0x2f, 0xfd];

/** No block holds more, packed or not. */
const MAX_BLOCK_BYTES = 128 << 10;

/** Linux fills its blocks: that many hold far more than we ever decode. A block's tables take longer than its text. */
const MAX_BLOCKS = 1024;

/** A larger offset code stands for more than we ever decode. */
const MAX_OFFSET_CODE = 24;

/** What one kind of a sequence's codes is made of (3.1.1.3.2.1.1 and 3.1.1.3.2.2). */
interface CodeKind {
  readonly predefined: FseTable;
  readonly maxLog: number;
  readonly maxSymbol: number;
}

const ones = (count: number): number[] => new Array<number>(count).fill(1);
const twos = (count: number): number[] => new Array<number>(count).fill(2);
const rare = (count: number): number[] => new Array<number>(count).fill(-1);

const LITERAL_LENGTHS: CodeKind = {
  predefined: fseTable(
    [4, 3, ...twos(11), ...ones(3), ...twos(9), 3, 2, ...ones(5), ...rare(4)],
    6,
  ),
  maxLog: 9,
  maxSymbol: 35,
};
const OFFSETS: CodeKind = {
  predefined: fseTable([...ones(6), ...twos(3), ...ones(15), ...rare(5)], 5),
  maxLog: 8,
  maxSymbol: 31,
};
const MATCH_LENGTHS: CodeKind = {
  predefined: fseTable([1, 4, 3, ...twos(6), ...ones(37), ...rare(7)], 6),
  maxLog: 9,
  maxSymbol: 52,
};

/** The bits behind each code of a length, and the length that they are added to. */
interface Lengths {
  readonly bits: readonly number[];
  readonly bases: readonly number[];
}

function lengths(first: number, plain: number, more: readonly number[]): Lengths {
  const bits = [...new Array<number>(plain).fill(0), ...more];
  let base = first;
  const bases = bits.map((count) => {
    base += 2 ** count;
    return base - 2 ** count;
  });
  return { bits, bases };
}

const LITERAL_LENGTH_CODES = lengths(
  0,
  16,
  [1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
);
const MATCH_LENGTH_CODES = lengths(
  3,
  32,
  [1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
);

/** Zstandard, one frame without a dictionary, as pstore writes it; a checksum isn't looked at. */
export function decodeZstd(input: Uint8Array, maxBytes: number): Decoded {
  return decodeInto(maxBytes, (output) => {
    let at = frameHeaderBytes(input);
    const blocks = new Blocks(output);
    for (let last = false, count = 0; !last; count++) {
      if (count === MAX_BLOCKS) throw BROKEN;
      if (at + 3 > input.length) throw CUT;
      const header = (input[at] ?? 0) | ((input[at + 1] ?? 0) << 8) | ((input[at + 2] ?? 0) << 16);
      at += 3;
      last = (header & 1) === 1;
      const type = (header >> 1) & 3;
      const size = header >>> 3;
      if (size > MAX_BLOCK_BYTES) throw BROKEN;
      if (type === 0) {
        output.copy(input, at, size);
      } else if (type === 1) {
        if (at >= input.length) throw CUT;
        output.fill(input[at] ?? 0, size);
      } else if (type === 2) {
        if (at + size > input.length) throw CUT;
        blocks.decode(input.subarray(at, at + size));
      } else {
        throw BROKEN;
      }
      at += type === 1 ? 1 : size;
    }
  });
}

/** The frame header's length. What it says of sizes isn't needed: nothing is allocated for it. */
function frameHeaderBytes(input: Uint8Array): number {
  if (MAGIC.some((byte, i) => input[i] !== byte)) throw BROKEN;
  const descriptor = input[4];
  if (descriptor === undefined) throw CUT;
  const single = (descriptor >> 5) & 1;
  const dictionary = descriptor & 3;
  if ((descriptor & 8) !== 0 || dictionary !== 0) throw BROKEN;
  const size = descriptor >> 6;
  return 5 + (1 - single) + (size === 0 ? single : 1 << size);
}

/** A frame's compressed blocks, each of which may use tables and offsets of those before. */
class Blocks {
  readonly #output: Output;
  #huffman: HuffmanTable | undefined;
  #literalLengths: FseTable | undefined;
  #offsets: FseTable | undefined;
  #matchLengths: FseTable | undefined;
  /** The newest offsets (3.1.1.5). */
  #recent: [number, number, number] = [1, 4, 8];

  constructor(output: Output) {
    this.#output = output;
  }

  decode(block: Uint8Array): void {
    const { literals, bytes } = this.#literals(block);
    const begun = this.#output.length;
    let used = 0;
    const sequences = this.#sequences(block.subarray(bytes));
    if (sequences !== undefined) {
      const { count, bits, table } = sequences;
      const literalLength = new FseState(table.literalLengths, bits);
      const offset = new FseState(table.offsets, bits);
      const matchLength = new FseState(table.matchLengths, bits);
      for (let i = 0; i < count; i++) {
        if (offset.symbol > MAX_OFFSET_CODE) throw BROKEN;
        const value = 2 ** offset.symbol + bits.read(offset.symbol);
        const match = lengthOf(MATCH_LENGTH_CODES, matchLength.symbol, bits);
        const run = lengthOf(LITERAL_LENGTH_CODES, literalLength.symbol, bits);
        if (i + 1 < count) {
          literalLength.next();
          matchLength.next();
          offset.next();
        }
        if (bits.left < 0 || used + run > literals.length) throw BROKEN;
        this.#output.copy(literals, used, run);
        used += run;
        this.#output.match(this.#distance(value, run), match);
        if (this.#output.length - begun > MAX_BLOCK_BYTES) throw BROKEN;
      }
      if (bits.left !== 0) throw BROKEN;
    }
    this.#output.copy(literals, used, literals.length - used);
  }

  /** What an offset value means: one of the newest, or three less than it says. */
  #distance(value: number, run: number): number {
    const [first, second, third] = this.#recent;
    const which = run === 0 ? value : value - 1;
    if (value > 3) this.#recent = [value - 3, first, second];
    else if (which === 1) this.#recent = [second, first, third];
    else if (which === 2) this.#recent = [third, first, second];
    else if (which === 3) this.#recent = [first - 1, first, second];
    return this.#recent[0];
  }

  /** The literals section (3.1.1.3.1), and its length. */
  #literals(block: Uint8Array): { readonly literals: Uint8Array; readonly bytes: number } {
    const [b0 = 0, b1 = 0, b2 = 0, b3 = 0, b4 = 0] = block;
    const type = b0 & 3;
    const format = (b0 >> 2) & 3;
    if (type < 2) {
      const header = format === 3 ? 3 : format === 1 ? 2 : 1;
      const long = (b0 >> 4) | (b1 << 4);
      const count = header === 1 ? b0 >> 3 : header === 2 ? long : long | (b2 << 12);
      const bytes = header + (type === 0 ? count : 1);
      if (count > MAX_BLOCK_BYTES || bytes > block.length) throw BROKEN;
      const literals =
        type === 0 ? block.subarray(header, bytes) : new Uint8Array(count).fill(block[header] ?? 0);
      return { literals, bytes };
    }
    const header = format < 2 ? 3 : format + 2;
    const width = format < 2 ? 10 : 4 * format + 6;
    // Two numbers of `width` bits each, behind four bits.
    const both = (b0 >> 4) + b1 * 2 ** 4 + b2 * 2 ** 12 + b3 * 2 ** 20 + b4 * 2 ** 28;
    const count = both % 2 ** width;
    const size = Math.floor(both / 2 ** width) % 2 ** width;
    const bytes = header + size;
    if (count > MAX_BLOCK_BYTES || bytes > block.length) throw BROKEN;
    let streams = block.subarray(header, bytes);
    if (type === 2) {
      const read = readHuffmanTable(streams);
      this.#huffman = read.table;
      streams = streams.subarray(read.bytes);
    }
    if (this.#huffman === undefined) throw BROKEN;
    const literals = decodeLiterals(this.#huffman, streams, count, format === 0 ? 1 : 4);
    return { literals, bytes };
  }

  /** The sequences section's header (3.1.1.3.2), and the bit stream behind it; undefined where there are none. */
  #sequences(section: Uint8Array) {
    const [b0, b1 = 0, b2 = 0] = section;
    if (b0 === undefined) throw BROKEN;
    if (b0 === 0) return undefined;
    const count = b0 < 128 ? b0 : b0 < 255 ? ((b0 - 128) << 8) | b1 : (b1 | (b2 << 8)) + 0x7f00;
    let at = b0 < 128 ? 1 : b0 < 255 ? 2 : 3;
    const modes = section[at++] ?? 3;
    if ((modes & 3) !== 0) throw BROKEN;
    const read = (mode: number, kind: CodeKind, before: FseTable | undefined): FseTable => {
      if (mode === 0) return kind.predefined;
      if (mode === 1) {
        const symbol = section[at++] ?? 255;
        if (symbol > kind.maxSymbol) throw BROKEN;
        return singleSymbol(symbol);
      }
      if (mode === 2) {
        const { table, bytes } = readFseTable(section.subarray(at), kind.maxLog, kind.maxSymbol);
        at += bytes;
        return table;
      }
      if (before === undefined) throw BROKEN;
      return before;
    };
    const literalLengths = read(modes >> 6, LITERAL_LENGTHS, this.#literalLengths);
    const offsets = read((modes >> 4) & 3, OFFSETS, this.#offsets);
    const matchLengths = read((modes >> 2) & 3, MATCH_LENGTHS, this.#matchLengths);
    this.#literalLengths = literalLengths;
    this.#offsets = offsets;
    this.#matchLengths = matchLengths;
    const bits = new BackwardBits(section.subarray(at));
    return { count, bits, table: { literalLengths, offsets, matchLengths } };
  }
}

function lengthOf({ bits, bases }: Lengths, code: number, from: BackwardBits): number {
  return (bases[code] ?? 0) + from.read(bits[code] ?? 0);
}
