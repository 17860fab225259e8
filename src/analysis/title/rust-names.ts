/** Types of one letter. */
const BASIC_TYPES: Readonly<Record<string, string>> = {
  a: "i8",
  b: "bool",
  c: "char",
  d: "f64",
  e: "str",
  f: "f32",
  h: "u8",
  i: "isize",
  j: "usize",
  l: "i32",
  m: "u32",
  n: "i128",
  o: "u128",
  p: "_",
  s: "i16",
  t: "u16",
  u: "()",
  v: "...",
  x: "i64",
  y: "u64",
  z: "!",
};

/** What is written before the type that one of these letters precedes. */
const POINTERS: Readonly<Record<string, string>> = {
  R: "&",
  Q: "&mut ",
  P: "*const ",
  O: "*mut ",
};

/** References back can make a short name grow without end: a guest can print such a one. */
const MAX_STEPS = 1000;
const MAX_DEPTH = 32;
const MAX_CHARS = 512;

/**
 * A function's name in Rust's own words: `_RNvCs1234_3foo3bar` is `foo::bar`. The names of kernels are
 * mangled in version 0 (rustc's book, "v0 Symbol Format"); the hash of a crate in them, which changes
 * with each build, is left out. Another name, or one that is no such name, is returned as it is.
 */
export function rustName(symbol: string): string {
  if (!symbol.startsWith("_R")) return symbol;
  try {
    return new Demangler(symbol.slice(2)).path(true);
  } catch {
    return symbol;
  }
}

class Malformed extends Error {}

class Demangler {
  readonly #text: string;
  #at = 0;
  #steps = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** @param isValue the path names a value: its generic arguments are written with `::<>` */
  path(isValue: boolean): string {
    return this.#nested(() => {
      switch (this.#next()) {
        case "C":
          return this.#identifier();
        case "M":
          this.#implPath();
          return `<${this.#type()}>`;
        case "X":
          this.#implPath();
          return `<${this.#type()} as ${this.path(false)}>`;
        case "Y":
          return `<${this.#type()} as ${this.path(false)}>`;
        case "N":
          return this.#member(isValue);
        case "I":
          return `${this.path(isValue)}${isValue ? "::" : ""}<${this.#list(() => this.#argument())}>`;
        case "B":
          return this.#again(() => this.path(isValue));
        default:
          throw new Malformed();
      }
    });
  }

  /** Where the implementation stands says nothing that its type doesn't. */
  #implPath(): void {
    this.#number("s");
    this.path(false);
  }

  #member(isValue: boolean): string {
    const namespace = this.#next();
    const parent = this.path(isValue);
    const name = this.#identifier();
    if (namespace >= "a") return `${parent}::${name}`;
    const kind = namespace === "C" ? "closure" : namespace === "S" ? "shim" : namespace;
    return `${parent}::{${kind}${name === "" ? "" : `:${name}`}}`;
  }

  #argument(): string {
    if (this.#take("L")) return this.#lifetime();
    return this.#take("K") ? this.#constant() : this.#type();
  }

  #type(): string {
    return this.#nested(() => {
      const letter = this.#text[this.#at] ?? "";
      if (Object.hasOwn(BASIC_TYPES, letter)) return BASIC_TYPES[this.#next()] ?? "";
      if (Object.hasOwn(POINTERS, letter)) {
        this.#next();
        if (this.#take("L")) this.#lifetime();
        return `${POINTERS[letter]}${this.#type()}`;
      }
      if (this.#take("S")) return `[${this.#type()}]`;
      if (this.#take("A")) return `[${this.#type()}; ${this.#constant()}]`;
      if (this.#take("T")) return `(${this.#list(() => this.#type())})`;
      if (this.#take("B")) return this.#again(() => this.#type());
      return this.path(false);
    });
  }

  #lifetime(): string {
    this.#base62();
    return "'_";
  }

  #constant(): string {
    if (this.#take("B")) return this.#again(() => this.#constant());
    if (this.#type() === "_") return "_";
    return `0x${this.#match(/n?[0-9a-f]{0,16}_/y).slice(0, -1)}`;
  }

  #list(item: () => string): string {
    const items: string[] = [];
    while (!this.#take("E")) items.push(item());
    return items.join(", ");
  }

  #identifier(): string {
    this.#number("s");
    this.#take("u");
    const length = Number(this.#match(/\d{1,3}/y));
    this.#take("_");
    const name = this.#text.slice(this.#at, this.#at + length);
    if (name.length < length) throw new Malformed();
    this.#at += length;
    return name;
  }

  /** What stands at an earlier place of the name. */
  #again(read: () => string): string {
    const before = this.#at;
    const place = this.#base62();
    const after = this.#at;
    if (place >= before) throw new Malformed();
    this.#at = place;
    const text = read();
    this.#at = after;
    return text;
  }

  #number(tag: string): void {
    if (this.#take(tag)) this.#base62();
  }

  #base62(): number {
    const digits = this.#match(/[0-9a-zA-Z]{0,12}_/y).slice(0, -1);
    if (digits === "") return 0;
    const value = (digit: string) =>
      "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".indexOf(digit);
    return [...digits].reduce((sum, digit) => sum * 62 + value(digit), 0) + 1;
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) throw new Malformed();
    this.#at = pattern.lastIndex;
    return match[0];
  }

  #take(letter: string): boolean {
    if (this.#text[this.#at] !== letter) return false;
    this.#at++;
    return true;
  }

  #next(): string {
    const letter = this.#text[this.#at++];
    if (letter === undefined) throw new Malformed();
    return letter;
  }

  #nested(read: () => string): string {
    if (++this.#steps > MAX_STEPS || ++this.#depth > MAX_DEPTH) throw new Malformed();
    const text = read();
    this.#depth--;
    if (text.length > MAX_CHARS) throw new Malformed();
    return text;
  }
}
