import type { EventField } from "../event-field.js";
import { isTypeWord, namedInteger } from "./c-types.js";
import { PrintFmtError } from "./error.js";
import { CALLS, type FunctionCall } from "./functions.js";
import { type Token, tokens } from "./lexer.js";
import { compileFormat, integer, type Piece } from "./printf.js";
import {
  type Expression,
  INT,
  type IntegerType,
  LONG,
  MAX_LINE,
  readInteger,
  type Surroundings,
  U32,
  U64,
  type Value,
  wrapped,
} from "./value.js";

/** Deeper than any of the kernel's: an end to what a module's text can make. */
const MAX_DEPTH = 100;

/** What an event of the kernel's own weighs at most, in operands and names of flags: those that weigh more cost of the budget. */
const USUAL_WEIGHT = 128;
const WORK_PER_WEIGHT = 0.05;

/**
 * Compiles an event's print_fmt: `"FORMAT", ARGUMENT, …` in C, where REC is the event's record. What it calls must be
 * one of the tracing macros' helpers.
 * @throws PrintFmtError where it isn't evaluated here.
 */
export function compilePrintFmt(
  printFmt: string,
  fields: ReadonlyMap<string, EventField>,
  kernel: Surroundings,
): (record: Buffer) => string {
  const parser = new Parser(tokens(printFmt), fields, kernel);
  const pieces = parser.line();
  const work = Math.max(0, parser.weight - USUAL_WEIGHT) * WORK_PER_WEIGHT;
  return (record) => {
    if (work > 0) kernel.spend(work);
    let text = "";
    for (const piece of pieces) {
      text += piece(record);
      if (text.length > MAX_LINE) return text.slice(0, MAX_LINE);
    }
    return text;
  };
}

/** C's binary operators, by how strongly they bind (C11, 6.5.5 and on). */
const PRECEDENCE: Readonly<Record<string, number>> = {
  ...{ "*": 10, "/": 10, "%": 10, "+": 9, "-": 9, "<<": 8, ">>": 8 },
  ...{ "<": 7, ">": 7, "<=": 7, ">=": 7, "==": 6, "!=": 6 },
  ...{ "&": 5, "^": 4, "|": 3, "&&": 2, "||": 1 },
};

interface TypeName {
  /** Undefined of what is no integer. */
  readonly type: IntegerType | undefined;
  readonly pointer: boolean;
  /** In tokens. */
  readonly length: number;
  /** How many bytes a pointer to it goes on by. */
  readonly step: bigint;
}

class Parser {
  readonly #tokens: readonly Token[];
  readonly #fields: ReadonlyMap<string, EventField>;
  readonly #kernel: Surroundings;
  #at = 0;
  #depth = 0;
  #weight = 0;

  constructor(
    list: readonly Token[],
    fields: ReadonlyMap<string, EventField>,
    kernel: Surroundings,
  ) {
    this.#tokens = list;
    this.#fields = fields;
    this.#kernel = kernel;
  }

  /** How much is looked at for each event. */
  get weight(): number {
    return this.#weight;
  }

  line(): Piece[] {
    const format = this.#next();
    if (format.kind !== "string") throw new PrintFmtError("it doesn't begin with a format");
    const pieces = compileFormat(
      format.text,
      {
        next: () => {
          this.#want(",");
          return this.#expression();
        },
      },
      this.#kernel,
    );
    if (this.#peek().kind !== "end") throw new PrintFmtError("it has more than its format takes");
    return pieces;
  }

  #peek(ahead = 0): Token {
    return this.#tokens[this.#at + ahead] ?? { kind: "end" };
  }

  #next(): Token {
    const token = this.#peek();
    this.#at++;
    return token;
  }

  #is(text: string, ahead = 0): boolean {
    const token = this.#peek(ahead);
    return token.kind === "punctuator" && token.text === text;
  }

  #take(text: string): boolean {
    if (!this.#is(text)) return false;
    this.#at++;
    return true;
  }

  #want(text: string): void {
    if (!this.#take(text)) throw new PrintFmtError(`"${text}" is missing`);
  }

  #expression(): Expression {
    this.#deeper();
    const condition = this.#binary(1);
    if (!this.#take("?")) {
      this.#depth--;
      return condition;
    }
    const yes = this.#expression();
    this.#want(":");
    const no = this.#expression();
    this.#depth--;
    return conditional(condition, yes, no);
  }

  #binary(least: number): Expression {
    const depth = this.#depth;
    let left = this.#unary();
    for (;;) {
      const token = this.#peek();
      const operator = token.kind === "punctuator" ? token.text : "";
      const precedence = PRECEDENCE[operator];
      if (precedence === undefined || precedence < least) {
        this.#depth = depth;
        return left;
      }
      this.#at++;
      // Each holds the one before: evaluating the last goes as deep as there are.
      this.#deeper();
      left = binary(operator, left, this.#binary(precedence + 1));
    }
  }

  #unary(): Expression {
    this.#deeper();
    this.#weight++;
    const made = this.#prefixed();
    this.#depth--;
    return made;
  }

  #deeper(): void {
    if (++this.#depth > MAX_DEPTH) throw new PrintFmtError("it is nested too deeply");
  }

  #prefixed(): Expression {
    if (this.#take("!")) {
      const of = this.#unary();
      return {
        type: { kind: "integer", type: INT },
        evaluate: (r) => (truth(of.evaluate(r)) ? 0n : 1n),
      };
    }
    if (this.#take("~")) return arithmetic(this.#unary(), (value) => ~value);
    if (this.#take("-")) return arithmetic(this.#unary(), (value) => -value);
    if (this.#take("+")) return arithmetic(this.#unary(), (value) => value);
    if (this.#take("*")) return element(this.#unary(), constant(0n, INT));
    if (this.#take("&")) return this.#address();
    if (this.#is("(")) {
      const cast = this.#cast();
      if (cast !== undefined) return cast;
    }
    return this.#postfix();
  }

  /** `&REC->field` is the field's bytes. */
  #address(): Expression {
    const field = this.#takeField();
    if (field === undefined) throw new PrintFmtError("& is taken of what is no field");
    const { offset, size } = field;
    const whole: Expression = {
      type: { kind: "bytes", element: integerOf(field) ?? { bits: 8, signed: false } },
      evaluate: (record) => record.subarray(offset, offset + size),
    };
    if (!this.#take("[")) return whole;
    const index = this.#expression();
    this.#want("]");
    return from(whole, index);
  }

  #cast(): Expression | undefined {
    const found = this.#typeName(1);
    if (found === undefined || !this.#is(")", 1 + found.length)) return undefined;
    this.#at += found.length + 2;
    const of = (found.pointer ? this.#variable() : undefined) ?? this.#unary();
    const { type } = found;
    if (found.pointer) {
      if (of.type.kind === "text") return of;
      if (of.type.kind === "integer") {
        const { evaluate } = converted(of, U64);
        return { type: { kind: "integer", type: U64, step: found.step }, evaluate };
      }
      return {
        type: { kind: "bytes", element: type ?? { bits: 8, signed: false } },
        evaluate: of.evaluate,
      };
    }
    if (type === undefined) throw new PrintFmtError("a cast to a type that is no integer");
    if (of.type.kind !== "integer") throw new PrintFmtError("a cast of what is no integer");
    return converted(of, type);
  }

  /** A variable of the kernel that is cast to a pointer, as vmemmap_base is. */
  #variable(): Expression | undefined {
    const token = this.#peek();
    if (token.kind !== "name" || token.text === "REC" || this.#is("(", 1)) return undefined;
    const value = this.#kernel.variable(token.text);
    if (value === undefined) return undefined;
    this.#at++;
    return constant(value, U64);
  }

  /** The type that is named from `ahead` on, and how many tokens it has. */
  #typeName(ahead: number): TypeName | undefined {
    const words: string[] = [];
    let length = 0;
    let pointer = false;
    for (;;) {
      const token = this.#peek(ahead + length);
      if (token.kind === "name" && !pointer && this.#isType(token.text, words)) {
        words.push(token.text);
      } else if (token.kind === "punctuator" && token.text === "*" && words.length > 0) {
        pointer = true;
      } else break;
      length++;
    }
    if (words.length === 0) return undefined;
    const type = namedInteger(words, (name) => this.#kernel.integerType(name));
    return { type, pointer, length, step: this.#step(words, type) };
  }

  #step(words: readonly string[], type: IntegerType | undefined): bigint {
    const struct = words.indexOf("struct");
    const size = struct < 0 ? undefined : this.#kernel.sizeOf(words[struct + 1] ?? "");
    return BigInt(size ?? (type === undefined ? 1 : type.bits / 8));
  }

  #isType(name: string, before: readonly string[]): boolean {
    if (isTypeWord(name)) return true;
    if (/^(?:struct|union|enum)$/.test(before.at(-1) ?? "")) return true;
    const isFirst = before.every((word) => word === "const" || word === "volatile");
    return isFirst && this.#kernel.integerType(name) !== undefined;
  }

  #postfix(): Expression {
    let made = this.#primary();
    while (this.#take("[")) {
      const index = this.#expression();
      this.#want("]");
      made = element(made, index);
    }
    if (this.#is(".") || this.#is("->") || this.#is("(")) {
      throw new PrintFmtError("it goes on to what isn't in the record");
    }
    return made;
  }

  #primary(): Expression {
    const field = this.#takeField();
    if (field !== undefined) return fieldValue(field);
    const token = this.#next();
    switch (token.kind) {
      case "number":
        return constant(token.value, literalType(token.value, token.suffix));
      case "string": {
        const { text } = token;
        return { type: { kind: "text" }, evaluate: () => text };
      }
      case "name":
        return this.#named(token.text);
      case "punctuator":
        if (token.text === "(") {
          const inner = this.#expression();
          this.#want(")");
          return inner;
        }
    }
    throw new PrintFmtError("an expression is missing");
  }

  #takeField(): EventField | undefined {
    const token = this.#peek();
    if (token.kind !== "name" || token.text !== "REC" || !this.#is("->", 1)) return undefined;
    const name = this.#peek(2);
    const field = name.kind === "name" ? this.#fields.get(name.text) : undefined;
    if (field === undefined) throw new PrintFmtError("it takes a field that isn't there");
    this.#at += 3;
    return field;
  }

  #named(name: string): Expression {
    if (name === "sizeof") return this.#sizeof();
    if (this.#take("(")) {
      const call = CALLS.get(name);
      if (call === undefined) throw new PrintFmtError(`${name}() isn't evaluated`);
      const made = call(this.#callArguments());
      this.#want(")");
      return made;
    }
    const value = this.#kernel.constant(name);
    if (value === undefined) throw new PrintFmtError(`${name} isn't known`);
    return constant(value, value >= 1n << 31n || value < -(1n << 31n) ? LONG : INT);
  }

  #sizeof(): Expression {
    this.#want("(");
    const found = this.#typeName(0);
    if (found?.type === undefined) throw new PrintFmtError("sizeof of what is no integer type");
    this.#at += found.length;
    this.#want(")");
    return constant(BigInt(found.pointer ? 8 : found.type.bits / 8), U64);
  }

  /** How a helper takes its arguments. */
  #callArguments(): FunctionCall {
    let first = true;
    const separate = (): void => {
      if (!first) this.#want(",");
      first = false;
    };
    return {
      field: () => {
        separate();
        const token = this.#next();
        const field = token.kind === "name" ? this.#fields.get(token.text) : undefined;
        if (field === undefined) throw new PrintFmtError("it takes a field that isn't there");
        return field;
      },
      expression: () => {
        separate();
        return this.#expression();
      },
      text: () => {
        separate();
        const token = this.#next();
        if (token.kind !== "string") throw new PrintFmtError("a text is missing");
        return token.text;
      },
      weigh: (count) => {
        this.#weight += count;
      },
      spend: (work) => {
        this.#kernel.spend(work);
      },
      pairs: () => {
        // They are evaluated once, now.
        const before = this.#weight;
        const pairs: [bigint, string][] = [];
        while (this.#take(",")) {
          // Newer kernels end a list with a pair whose name is NULL; some leave a comma.
          if (this.#is(")")) break;
          this.#want("{");
          const value = constantOf(this.#expression());
          this.#want(",");
          const token = this.#peek();
          if (token.kind === "string") {
            this.#at++;
            pairs.push([value, token.text]);
          } else if (constantOf(this.#expression()) !== 0n) {
            throw new PrintFmtError("a name is missing");
          }
          this.#want("}");
        }
        this.#weight = before;
        return pairs;
      },
    };
  }
}

function constantOf(expression: Expression): bigint {
  // It has no field of the record: any record gives the same.
  if (expression.type.kind !== "integer") throw new PrintFmtError("a number is missing");
  return integer(expression.evaluate(Buffer.alloc(0)));
}

/** The type of a decimal or hexadecimal literal (C11, 6.4.4.1), as far as it makes a difference. */
function literalType(value: bigint, suffix: string): IntegerType {
  const unsigned = suffix.includes("u");
  if (suffix.includes("l") || value >= 1n << 32n) {
    return unsigned || value >= 1n << 63n ? U64 : LONG;
  }
  return unsigned || value >= 1n << 31n ? U32 : INT;
}

const constant = (value: bigint, type: IntegerType): Expression => ({
  type: { kind: "integer", type },
  evaluate: () => value,
});

export function integerOf({ size, signed }: EventField): IntegerType | undefined {
  const bits = size * 8;
  return bits === 8 || bits === 16 || bits === 32 || bits === 64 ? { bits, signed } : undefined;
}

function fieldValue(field: EventField): Expression {
  const { offset, size, element: of } = field;
  const type = integerOf(field);
  if (of === undefined && type !== undefined) {
    return {
      type: { kind: "integer", type },
      evaluate: (record) => readInteger(record, offset, type),
    };
  }
  return {
    type: { kind: "bytes", element: of ?? { bits: 8, signed: false } },
    // An array without a size goes on to the record's end.
    evaluate: (record) => record.subarray(offset, size === 0 ? undefined : offset + size),
  };
}

function element(array: Expression, index: Expression): Expression {
  const { type } = array;
  if (type.kind !== "bytes" || index.type.kind !== "integer") {
    throw new PrintFmtError("an element of what is no array in the record");
  }
  const { element: of } = type;
  return {
    type: { kind: "integer", type: of },
    evaluate: (record) => {
      const bytes = array.evaluate(record);
      if (!Buffer.isBuffer(bytes)) return 0n;
      const at = integer(index.evaluate(record));
      const inside = at >= 0n && at < BigInt(bytes.length);
      return inside ? readInteger(bytes, Number(at) * (of.bits / 8), of) : 0n;
    },
  };
}

/** The array from one of its elements on. */
function from(array: Expression, index: Expression): Expression {
  const { type } = array;
  if (type.kind !== "bytes" || index.type.kind !== "integer") {
    throw new PrintFmtError("an element of what is no array in the record");
  }
  return {
    type,
    evaluate: (record) => {
      const bytes = array.evaluate(record);
      const at = integer(index.evaluate(record));
      if (!Buffer.isBuffer(bytes)) return bytes;
      const inside = at >= 0n && at < BigInt(bytes.length);
      return bytes.subarray(inside ? Number(at) * (type.element.bits / 8) : bytes.length);
    },
  };
}

function truth(value: Value): boolean {
  return typeof value === "bigint" ? value !== 0n : true;
}

/** The integer promotions (C11, 6.3.1.1). */
const promoted = (type: IntegerType): IntegerType => (type.bits < 32 ? INT : type);

function arithmetic(of: Expression, apply: (value: bigint) => bigint): Expression {
  if (of.type.kind !== "integer") throw new PrintFmtError("arithmetic on what is no integer");
  const type = promoted(of.type.type);
  return {
    type: { kind: "integer", type },
    evaluate: (record) => wrapped(apply(integer(of.evaluate(record))), type),
  };
}

function converted(of: Expression, type: IntegerType): Expression {
  return {
    type: { kind: "integer", type },
    evaluate: (record) => wrapped(integer(of.evaluate(record)), type),
  };
}

/** The usual arithmetic conversions (C11, 6.3.1.8). */
function common(left: IntegerType, right: IntegerType): IntegerType {
  const a = promoted(left);
  const b = promoted(right);
  if (a.bits !== b.bits) return a.bits > b.bits ? a : b;
  return a.signed ? b : a;
}

function conditional(condition: Expression, yes: Expression, no: Expression): Expression {
  const choose = (record: Buffer): Expression => (truth(condition.evaluate(record)) ? yes : no);
  if (yes.type.kind === "integer" && no.type.kind === "integer") {
    const type = common(yes.type.type, no.type.type);
    return {
      type: { kind: "integer", type },
      evaluate: (record) => wrapped(integer(choose(record).evaluate(record)), type),
    };
  }
  if (yes.type.kind === "integer" || no.type.kind === "integer") {
    throw new PrintFmtError("a choice between a number and a text");
  }
  const type = yes.type.kind === no.type.kind ? yes.type : ({ kind: "text" } as const);
  return { type, evaluate: (record) => choose(record).evaluate(record) };
}

const COMPARISONS: Readonly<Record<string, (a: bigint, b: bigint) => boolean>> = {
  "<": (a, b) => a < b,
  ">": (a, b) => a > b,
  "<=": (a, b) => a <= b,
  ">=": (a, b) => a >= b,
  "==": (a, b) => a === b,
  "!=": (a, b) => a !== b,
};

const ARITHMETIC: Readonly<Record<string, (a: bigint, b: bigint) => bigint>> = {
  "*": (a, b) => a * b,
  "/": (a, b) => (b === 0n ? 0n : a / b),
  "%": (a, b) => (b === 0n ? 0n : a % b),
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "&": (a, b) => a & b,
  "^": (a, b) => a ^ b,
  "|": (a, b) => a | b,
};

function binary(operator: string, left: Expression, right: Expression): Expression {
  const int = { kind: "integer", type: INT } as const;
  if (operator === "&&" || operator === "||") {
    const both = operator === "&&";
    return {
      type: int,
      evaluate: (record) => {
        const first = truth(left.evaluate(record));
        return (first === both ? truth(right.evaluate(record)) : first) ? 1n : 0n;
      },
    };
  }
  if (left.type.kind !== "integer" || right.type.kind !== "integer") {
    throw new PrintFmtError(`"${operator}" of what is no integer`);
  }
  if (operator === "<<" || operator === ">>") {
    const type = promoted(left.type.type);
    return {
      type: { kind: "integer", type },
      evaluate: (record) => {
        const by = BigInt.asUintN(32, integer(right.evaluate(record))) & BigInt(type.bits - 1);
        const value = wrapped(integer(left.evaluate(record)), type);
        return wrapped(operator === "<<" ? value << by : value >> by, type);
      },
    };
  }
  const type = common(left.type.type, right.type.type);
  const { step } = left.type;
  if (step !== undefined && (operator === "+" || operator === "-")) {
    return {
      type: left.type,
      evaluate: (record) => {
        const by = integer(right.evaluate(record)) * step;
        const from = integer(left.evaluate(record));
        return BigInt.asUintN(64, operator === "+" ? from + by : from - by);
      },
    };
  }
  const operands = (record: Buffer): [bigint, bigint] => [
    wrapped(integer(left.evaluate(record)), type),
    wrapped(integer(right.evaluate(record)), type),
  ];
  const compare = COMPARISONS[operator];
  if (compare !== undefined) {
    return { type: int, evaluate: (record) => (compare(...operands(record)) ? 1n : 0n) };
  }
  const apply = ARITHMETIC[operator];
  if (apply === undefined) throw new PrintFmtError(`"${operator}" isn't evaluated`);
  return {
    type: { kind: "integer", type },
    evaluate: (record) => wrapped(apply(...operands(record)), type),
  };
}
