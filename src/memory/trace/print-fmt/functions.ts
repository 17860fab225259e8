import type { EventField } from "../event-field.js";
import { PrintFmtError } from "./error.js";
import { integer } from "./printf.js";
import {
  type Expression,
  INT,
  type IntegerType,
  MAX_LINE,
  readInteger,
  textOf,
  type Value,
} from "./value.js";

/** The arguments of a call, taken one after another. */
export interface FunctionCall {
  /** A field's name. */
  field(): EventField;
  expression(): Expression;
  text(): string;
  /** `{ VALUE, "NAME" }`, to the end. */
  pairs(): [bigint, string][];
  /** Says that each event looks at so many things more. */
  weigh(count: number): void;
  /** For what an event's own data cost. Throws MemoryError where no work is left. */
  spend(work: number): void;
}

export type Call = (call: FunctionCall) => Expression;

/** The kernel shows no longer arrays; each that is costs by its bytes. */
const USUAL_BYTES = 256;
const BYTES_PER_WORK = 10;

const BYTE: IntegerType = { bits: 8, signed: false };

/** The helpers that the tracing macros have (include/trace/stages/stage3_trace_output.h). */
export const CALLS: ReadonlyMap<string, Call> = new Map<string, Call>([
  ["__get_str", (call) => asText(dynamic(call.field()))],
  ["__get_rel_str", (call) => asText(dynamic(call.field()))],
  ["__get_dynamic_array", (call) => dynamic(call.field())],
  ["__get_rel_dynamic_array", (call) => dynamic(call.field())],
  ["__get_dynamic_array_len", (call) => length(dynamic(call.field()))],
  ["__get_rel_dynamic_array_len", (call) => length(dynamic(call.field()))],
  ["__get_bitmask", (call) => bitmask(call, dynamic(call.field()))],
  ["__get_rel_bitmask", (call) => bitmask(call, dynamic(call.field()))],
  ["__get_cpumask", (call) => bitmask(call, dynamic(call.field()))],
  ["__get_rel_cpumask", (call) => bitmask(call, dynamic(call.field()))],
  ["__builtin_expect", (call) => first(call)],
  ["__print_flags", (call) => flags(call)],
  ["__print_flags_u64", (call) => flags(call)],
  ["__print_symbolic", (call) => symbolic(call)],
  ["__print_symbolic_u64", (call) => symbolic(call)],
  ["__print_hex", (call) => hex(call, " ")],
  ["__print_hex_str", (call) => hex(call, "")],
  ["__print_array", (call) => array(call)],
  ["__print_dynamic_array", (call) => dynamicArray(call)],
]);

/** `__data_loc` holds the length and the offset in the record, `__rel_loc` the offset from its own end. */
export function dynamicBytes(field: EventField, record: Buffer): Buffer {
  const { offset, relative } = field;
  if (offset + 4 > record.length) return Buffer.alloc(0);
  const word = record.readUInt32LE(offset);
  const at = (word & 0xffff) + (relative ? offset + 4 : 0);
  return record.subarray(at, at + (word >>> 16));
}

function dynamic(field: EventField): Expression {
  if (!field.dynamic) throw new PrintFmtError(`${field.name} is no dynamic array`);
  const element = field.element ?? BYTE;
  return { type: { kind: "bytes", element }, evaluate: (record) => dynamicBytes(field, record) };
}

const asText = (bytes: Expression): Expression => ({
  type: { kind: "text" },
  evaluate: (record) => {
    const value = bytes.evaluate(record);
    return Buffer.isBuffer(value) ? textOf(value) : value;
  },
});

const length = (bytes: Expression): Expression => ({
  type: { kind: "integer", type: INT },
  evaluate: (record) => {
    const value = bytes.evaluate(record);
    return Buffer.isBuffer(value) ? BigInt(value.length) : 0n;
  },
});

/** As %*pb: groups of 32 bits, the highest first. */
function bitmask(call: FunctionCall, bytes: Expression): Expression {
  return textOfBytes(call, bytes, (value) => {
    const groups: string[] = [];
    for (let at = 0; at + 4 <= value.length; at += 4) {
      groups.unshift(value.readUInt32LE(at).toString(16).padStart(8, "0"));
    }
    return groups.join(",");
  });
}

/** What the compiler is told about a value doesn't change it. */
function first(call: FunctionCall): Expression {
  const value = call.expression();
  call.expression();
  return value;
}

function wantInteger(expression: Expression): Expression {
  if (expression.type.kind !== "integer") throw new PrintFmtError("a number is missing");
  return expression;
}

/** Flags as trace_print_flags_seq() tells them: what is left over is told as a number. */
function flags(call: FunctionCall): Expression {
  const value = wantInteger(call.expression());
  const delimiter = call.text();
  const names = call.pairs();
  call.weigh(names.length);
  return {
    type: { kind: "text" },
    evaluate: (record) => {
      let left = BigInt.asUintN(64, integer(value.evaluate(record)));
      const found: string[] = [];
      for (const [mask, name] of names) {
        if (left === 0n) break;
        const wanted = BigInt.asUintN(64, mask);
        if ((left & wanted) !== wanted) continue;
        left &= ~wanted;
        found.push(name);
      }
      if (left !== 0n) found.push(`0x${left.toString(16)}`);
      return found.join(delimiter);
    },
  };
}

function symbolic(call: FunctionCall): Expression {
  const value = wantInteger(call.expression());
  const names = new Map<bigint, string>();
  for (const [key, name] of call.pairs()) {
    const unsigned = BigInt.asUintN(64, key);
    if (!names.has(unsigned)) names.set(unsigned, name);
  }
  return {
    type: { kind: "text" },
    evaluate: (record) => {
      const key = BigInt.asUintN(64, integer(value.evaluate(record)));
      return names.get(key) ?? `0x${key.toString(16)}`;
    },
  };
}

function hex(call: FunctionCall, separator: string): Expression {
  const bytes = wantBytes(call.expression());
  const count = wantInteger(call.expression());
  return textOfBytes(call, bytes, (value, record) => {
    const part = value.subarray(0, limited(count.evaluate(record), value.length));
    return (part.toString("hex").match(/../g) ?? []).join(separator);
  });
}

function array(call: FunctionCall): Expression {
  const bytes = wantBytes(call.expression());
  const count = wantInteger(call.expression());
  const size = wantInteger(call.expression());
  return textOfBytes(call, bytes, (value, record) =>
    elements(value, limited(count.evaluate(record), value.length), widthOf(size, record)),
  );
}

function dynamicArray(call: FunctionCall): Expression {
  const bytes = dynamic(call.field());
  const size = wantInteger(call.expression());
  return textOfBytes(call, bytes, (value, record) => {
    const width = widthOf(size, record);
    return elements(value, width === 0 ? 0 : Math.floor(value.length / width), width);
  });
}

function textOfBytes(
  { spend }: FunctionCall,
  bytes: Expression,
  text: (value: Buffer, record: Buffer) => string,
): Expression {
  return {
    type: { kind: "text" },
    evaluate: (record) => {
      const value = bytes.evaluate(record);
      if (!Buffer.isBuffer(value)) return "";
      const shown = value.subarray(0, MAX_LINE);
      if (shown.length > USUAL_BYTES) spend(shown.length / BYTES_PER_WORK);
      return text(shown, record);
    },
  };
}

const widthOf = (size: Expression, record: Buffer): number =>
  Number(BigInt.asUintN(32, integer(size.evaluate(record))));

function wantBytes(expression: Expression): Expression {
  if (expression.type.kind !== "bytes") throw new PrintFmtError("an array is missing");
  return expression;
}

function limited(value: Value, most: number): number {
  const count = integer(value);
  return count < 0n ? 0 : count > BigInt(most) ? most : Number(count);
}

/** As trace_print_array_seq(). */
function elements(bytes: Buffer, count: number, width: number): string {
  if (width !== 1 && width !== 2 && width !== 4 && width !== 8) return `{BAD SIZE:${width}}`;
  const type = { bits: (width * 8) as IntegerType["bits"], signed: false };
  const shown: string[] = [];
  for (let i = 0; i < count && (i + 1) * width <= bytes.length; i++) {
    shown.push(`0x${readInteger(bytes, i * width, type).toString(16)}`);
  }
  return `{${shown.join(",")}}`;
}
