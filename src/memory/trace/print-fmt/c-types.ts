import { type IntegerType, U32 } from "./value.js";

const WORDS = new Set(
  "const volatile unsigned signed long int short char void bool _Bool struct union enum".split(" "),
);

const SIZED = /^(?:__)?([us])(8|16|32|64)$|^(u?)int(8|16|32|64)_t$/;

/** Words that name types without being declared anywhere. */
export const isTypeWord = (word: string): boolean => WORDS.has(word) || SIZED.test(word);

/** The integer type that words name, as `unsigned long` or `u32`; undefined for what is none. */
export function namedInteger(
  names: readonly string[],
  typedef: (name: string) => IntegerType | undefined,
): IntegerType | undefined {
  const words = names.filter((word) => word !== "const" && word !== "volatile");
  const first = words[0];
  if (first === undefined) return undefined;
  const sized = SIZED.exec(first);
  if (sized !== null) {
    const bits = Number(sized[2] ?? sized[4]) as IntegerType["bits"];
    return { bits, signed: sized[1] === "s" || (sized[1] === undefined && sized[3] === "") };
  }
  if (first === "enum") return U32;
  if (first === "struct" || first === "union" || first === "void") return undefined;
  if (first === "bool" || first === "_Bool") return { bits: 8, signed: false };
  if (!WORDS.has(first)) return typedef(first);
  const signed = !words.includes("unsigned");
  if (words.includes("char")) return { bits: 8, signed };
  if (words.includes("short")) return { bits: 16, signed };
  return { bits: words.includes("long") ? 64 : 32, signed };
}
