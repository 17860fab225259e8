import { PrintFmtError } from "./error.js";
import {
  type Expression,
  INT,
  type IntegerType,
  LONG,
  type Surroundings,
  textOf,
  U32,
  U64,
  type Value,
  wrapped,
} from "./value.js";

/** One conversion, compiled: its text for a record. */
export type Piece = (record: Buffer) => string;

/** Wider ones aren't the kernel's: a line has 8 KiB at most. */
const MAX_WIDTH = 8192;

/** Texts that are longer cost by their length. */
const USUAL_TEXT = 1024;

const CONVERSION = /%([-+ #0]*)(\*|\d+)?(?:\.(\*|-?\d+)?)?(hh|h|ll|l|L|q|j|z|t)?([%a-zA-Z])/y;

/** The kernel takes every letter and digit behind %p as its extension. */
const EXTENSION = /[a-zA-Z0-9]*/y;

/** What an argument is wanted for. */
export interface Conversion {
  /** As d or s; `*` for a width or precision. */
  readonly letter: string;
  /** As ll; none is empty. */
  readonly length: string;
  /** Of %p. */
  readonly extension: string;
}

/** Hands out the arguments' values, one after another. */
export interface Arguments {
  next(conversion: Conversion): Expression;
}

/**
 * Compiles a format of printf() and of the kernel's %p extensions (Documentation/core-api/printk-formats.rst).
 * @throws PrintFmtError for what isn't evaluated here.
 */
export function compileFormat(format: string, args: Arguments, kernel: Surroundings): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  while (at < format.length) {
    const percent = format.indexOf("%", at);
    const plain = format.slice(at, percent < 0 ? undefined : percent);
    if (plain !== "") pieces.push(() => plain);
    if (percent < 0) break;
    CONVERSION.lastIndex = percent;
    const match = CONVERSION.exec(format);
    if (match === null) throw new PrintFmtError(`its format has a bad % at ${percent}`);
    at = CONVERSION.lastIndex;
    const [, flags = "", width, precision, length = "", letter = ""] = match;
    if (letter === "%") {
      pieces.push(() => "%");
      continue;
    }
    const layout: Layout = {
      left: flags.includes("-"),
      plus: flags.includes("+"),
      space: flags.includes(" "),
      alternate: flags.includes("#"),
      zero: flags.includes("0"),
      width: sizeOf(width, args),
      // "%.s" is a precision of 0.
      precision: match[0].includes(".") ? sizeOf(precision ?? "0", args) : undefined,
    };
    if (letter === "p") {
      EXTENSION.lastIndex = at;
      const extension = EXTENSION.exec(format)?.[0] ?? "";
      at += extension.length;
      const argument = args.next({ letter, length, extension });
      // %ps of a text that is there already, as trace_printk() keeps others.
      pieces.push(
        argument.type.kind === "text"
          ? conversion("s", "", argument, layout, kernel)
          : pointer(extension, argument, layout, kernel),
      );
    } else {
      const argument = args.next({ letter, length, extension: "" });
      pieces.push(conversion(letter, length, argument, layout, kernel));
    }
  }
  return pieces;
}

interface Layout {
  readonly left: boolean;
  readonly plus: boolean;
  readonly space: boolean;
  readonly alternate: boolean;
  readonly zero: boolean;
  readonly width: ((record: Buffer) => number) | undefined;
  readonly precision: ((record: Buffer) => number) | undefined;
}

function sizeOf(text: string | undefined, args: Arguments): Layout["width"] {
  if (text === undefined) return undefined;
  if (text !== "*") {
    const size = Number(text);
    if (size > MAX_WIDTH) throw new PrintFmtError(`its format has a width of ${text}`);
    return () => size;
  }
  const argument = args.next({ letter: "*", length: "", extension: "" });
  wantInteger(argument);
  return (record) => {
    const size = Number(wrapped(integer(argument.evaluate(record)), INT));
    return Math.max(-MAX_WIDTH, Math.min(size, MAX_WIDTH));
  };
}

const INTEGERS: Readonly<Record<string, readonly [signed: IntegerType, unsigned: IntegerType]>> = {
  hh: [
    { bits: 8, signed: true },
    { bits: 8, signed: false },
  ],
  h: [
    { bits: 16, signed: true },
    { bits: 16, signed: false },
  ],
  "": [INT, U32],
};

function conversion(
  letter: string,
  length: string,
  argument: Expression,
  layout: Layout,
  kernel: Surroundings,
): Piece {
  switch (letter) {
    case "s":
      return (record) => {
        const value = stringOf(argument.evaluate(record), kernel);
        if (value.length > USUAL_TEXT) kernel.spend(value.length / USUAL_TEXT);
        return text(value, layout, record);
      };
    case "c":
      wantInteger(argument);
      return (record) => {
        const code = Number(BigInt.asUintN(8, integer(argument.evaluate(record))));
        return padded(String.fromCharCode(code), layout, record);
      };
    case "d":
    case "i":
    case "u":
    case "x":
    case "X":
    case "o": {
      wantInteger(argument);
      const [signed, unsigned] = INTEGERS[length] ?? [LONG, U64];
      const type = letter === "d" || letter === "i" ? signed : unsigned;
      const base = letter === "o" ? 8 : letter === "x" || letter === "X" ? 16 : 10;
      return (record) => {
        const value = wrapped(integer(argument.evaluate(record)), type);
        const shown = number(value, base, layout, record);
        return letter === "X" ? shown.toUpperCase() : shown;
      };
    }
    default:
      throw new PrintFmtError(`%${letter} isn't evaluated`);
  }
}

function number(value: bigint, base: 8 | 10 | 16, layout: Layout, record: Buffer): string {
  const negative = value < 0n;
  let digits = (negative ? -value : value).toString(base);
  const sign = negative ? "-" : layout.plus ? "+" : layout.space ? " " : "";
  const prefix = layout.alternate ? (base === 16 ? "0x" : base === 8 ? "0" : "") : "";
  const head = sign + prefix;
  const { width, precision } = layout;
  if (precision !== undefined) digits = digits.padStart(precision(record), "0");
  else if (width !== undefined && layout.zero && !layout.left) {
    digits = digits.padStart(width(record) - head.length, "0");
  }
  return padded(head + digits, layout, record);
}

function text(value: string, layout: Layout, record: Buffer): string {
  const precision = layout.precision?.(record);
  const cut = precision === undefined || precision < 0 ? value : value.slice(0, precision);
  return padded(cut, layout, record);
}

function padded(value: string, { left, width }: Layout, record: Buffer): string {
  if (width === undefined) return value;
  const size = width(record);
  return left || size < 0 ? value.padEnd(Math.abs(size)) : value.padStart(size);
}

function pointer(
  extension: string,
  argument: Expression,
  layout: Layout,
  kernel: Surroundings,
): Piece {
  const isAddress = argument.type.kind === "integer";
  switch (extension) {
    case "":
    case "K":
      if (!isAddress) break;
      return (record) => padded(kernel.pointer(u64(argument, record)), layout, record);
    case "x":
      if (!isAddress) break;
      return (record) => {
        const hex = u64(argument, record).toString(16);
        return padded(hex.padStart(16, "0"), layout, record);
      };
    case "s":
    case "f":
      if (!isAddress) break;
      return (record) => padded(kernel.symbol(u64(argument, record), false), layout, record);
    case "S":
    case "Sb":
    case "F":
      if (!isAddress) break;
      return (record) => padded(kernel.symbol(u64(argument, record), true), layout, record);
    case "I4":
    case "i4":
      return ofBytes(argument, 4, (bytes) =>
        extension === "I4"
          ? [...bytes].join(".")
          : [...bytes].map((byte) => String(byte).padStart(3, "0")).join("."),
      );
    case "I6":
    case "i6":
      return ofBytes(argument, 16, (bytes) =>
        (bytes.toString("hex").match(/.{4}/g) ?? []).join(extension === "I6" ? ":" : ""),
      );
    case "I6c":
      return ofBytes(argument, 16, compressedIpv6);
    case "M":
    case "m":
      return ofBytes(argument, 6, (bytes) =>
        (bytes.toString("hex").match(/../g) ?? []).join(extension === "M" ? ":" : ""),
      );
  }
  throw new PrintFmtError(`%p${extension} isn't evaluated`);
}

/** As the kernel shortens: the longest run of two or more zeros, the first of equally long ones; no embedded IPv4 address. */
function compressedIpv6(bytes: Buffer): string {
  const words = [...Array(8).keys()].map((i) => bytes.readUInt16BE(i * 2).toString(16));
  let best = { at: -1, length: 1 };
  for (let i = 0; i < words.length; i++) {
    let length = 0;
    while (words[i + length] === "0") length++;
    if (length > best.length) best = { at: i, length };
  }
  if (best.at < 0) return words.join(":");
  const left = words.slice(0, best.at).join(":");
  return `${left}::${words.slice(best.at + best.length).join(":")}`;
}

function ofBytes(argument: Expression, length: number, show: (bytes: Buffer) => string): Piece {
  if (argument.type.kind !== "bytes") {
    throw new PrintFmtError("an address outside of the record isn't evaluated");
  }
  return (record) => {
    const bytes = argument.evaluate(record);
    if (!Buffer.isBuffer(bytes) || bytes.length < length) return "?";
    return show(bytes.subarray(0, length));
  };
}

function u64(argument: Expression, record: Buffer): bigint {
  return BigInt.asUintN(64, integer(argument.evaluate(record)));
}

function wantInteger({ type }: Expression): void {
  if (type.kind !== "integer") throw new PrintFmtError("a number is wanted where there is none");
}

/** The value of an expression whose type is an integer. */
export function integer(value: Value): bigint {
  return typeof value === "bigint" ? value : 0n;
}

function stringOf(value: Value, kernel: Surroundings): string {
  if (typeof value === "string") return value;
  if (Buffer.isBuffer(value)) return textOf(value);
  if (value === 0n) return "(null)";
  return kernel.text(BigInt.asUintN(64, value)) ?? "(fault)";
}
