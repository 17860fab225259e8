import { PrintFmtError } from "./error.js";

export type Token =
  | { readonly kind: "name"; readonly text: string }
  | { readonly kind: "number"; readonly value: bigint; readonly suffix: string }
  /** Its escapes are resolved; strings that follow each other are one. */
  | { readonly kind: "string"; readonly text: string }
  | { readonly kind: "punctuator"; readonly text: string }
  | { readonly kind: "end" };

/** The kernel's are at most some 10 KiB (those of gfp flags); a module's can be of any length. */
const MAX_LENGTH = 1 << 16;

const SPACE = /\s+/y;
const NAME = /[A-Za-z_]\w*/y;
const NUMBER = /(0[xX][0-9a-fA-F]+|\d+)([uUlL]{0,3})/y;
const STRING = /"((?:[^"\\]|\\[\s\S])*)"/y;
const CHARACTER = /'((?:[^'\\]|\\[\s\S][0-7x]{0,3}))'/y;
const PUNCTUATOR = /->|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^~!<>?:(){}[\],.]/y;

const ESCAPES: Readonly<Record<string, string>> = {
  ...{ n: "\n", t: "\t", r: "\r", "0": "\0", a: "\x07", b: "\b", f: "\f", v: "\v" },
};

/** The tokens of a print_fmt, which is C. @throws PrintFmtError */
export function tokens(text: string): Token[] {
  if (text.length > MAX_LENGTH) throw new PrintFmtError(`it has ${text.length} characters`);
  const found: Token[] = [];
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match !== null) at = pattern.lastIndex;
    return match;
  };
  while (at < text.length) {
    if (take(SPACE) !== null) continue;
    const token = next(take);
    if (token === undefined) throw new PrintFmtError(`"${text.charAt(at)}" is not C`);
    const last = found.at(-1);
    if (token.kind === "string" && last?.kind === "string") {
      found[found.length - 1] = { kind: "string", text: last.text + token.text };
    } else {
      found.push(token);
    }
  }
  found.push({ kind: "end" });
  return found;
}

function next(take: (pattern: RegExp) => RegExpExecArray | null): Token | undefined {
  const name = take(NAME);
  if (name !== null) return { kind: "name", text: name[0] };
  const number = take(NUMBER);
  if (number !== null) return numberToken(number[1] ?? "0", number[2] ?? "");
  const string = take(STRING);
  if (string !== null) return { kind: "string", text: unescaped(string[1] ?? "") };
  const character = take(CHARACTER);
  if (character !== null) {
    const code = unescaped(character[1] ?? "").charCodeAt(0);
    return { kind: "number", value: BigInt(code), suffix: "" };
  }
  const punctuator = take(PUNCTUATOR);
  return punctuator === null ? undefined : { kind: "punctuator", text: punctuator[0] };
}

function numberToken(digits: string, suffix: string): Token {
  const octal = /^0[0-7]+$/.test(digits);
  const value = BigInt(octal ? `0o${digits.slice(1)}` : digits);
  return { kind: "number", value: BigInt.asUintN(64, value), suffix: suffix.toLowerCase() };
}

function unescaped(text: string): string {
  return text.replace(/\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|[\s\S])/g, (_, code: string) => {
    if (/^x./.test(code)) return String.fromCharCode(Number.parseInt(code.slice(1), 16));
    if (/^[0-7]/.test(code)) return String.fromCharCode(Number.parseInt(code, 8) & 0xff);
    return ESCAPES[code] ?? code;
  });
}
