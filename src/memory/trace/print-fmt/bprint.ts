import { PrintFmtError } from "./error.js";
import { type Conversion, compileFormat } from "./printf.js";
import {
  type Expression,
  INT,
  type IntegerType,
  readInteger,
  type Surroundings,
  textOf,
  U64,
} from "./value.js";

const WIDTHS: Readonly<Record<string, IntegerType["bits"]>> = { hh: 8, h: 16, "": 32 };

/** What follows %p and is kept as an address; of the others the kernel keeps the text (vbin_printf(), lib/vsprintf.c). */
const KEPT_AS_ADDRESS = /^(?:[SsFfBxKe]|$)/;

/**
 * A text of trace_printk(), whose arguments were kept as they were: numbers aligned to their size, but to 4 bytes
 * at most; texts with their NUL.
 */
export function bprint(format: string, args: Buffer, kernel: Surroundings): string {
  let at = 0;
  const take = (conversion: Conversion): Expression => {
    const isText =
      conversion.letter === "s" ||
      (conversion.letter === "p" && !KEPT_AS_ADDRESS.test(conversion.extension));
    if (isText) {
      const text = textOf(args.subarray(at));
      at += text.length + 1;
      return { type: { kind: "text" }, evaluate: () => text };
    }
    const type = integerTypeOf(conversion);
    const size = type.bits / 8;
    const align = Math.min(size, 4);
    at = Math.ceil(at / align) * align;
    const value = readInteger(args, at, type);
    at += size;
    return { type: { kind: "integer", type }, evaluate: () => value };
  };
  try {
    const pieces = compileFormat(format, { next: take }, kernel);
    return pieces.map((piece) => piece(args)).join("");
  } catch (error) {
    if (!(error instanceof PrintFmtError)) throw error;
    return format;
  }
}

function integerTypeOf({ letter, length }: Conversion): IntegerType {
  if (letter === "c") return { bits: 8, signed: false };
  if (letter === "*") return INT;
  if (letter === "p") return U64;
  return { bits: WIDTHS[length] ?? 64, signed: letter === "d" || letter === "i" };
}
