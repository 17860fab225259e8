import type { Kernel } from "../kernel/index.js";
import type { EventField } from "./event-field.js";
import type { EventFormat, Events } from "./events.js";
import type { Instance } from "./instances.js";
import { bprint } from "./print-fmt/bprint.js";
import { PrintFmtError } from "./print-fmt/error.js";
import { dynamicBytes } from "./print-fmt/functions.js";
import { compilePrintFmt, integerOf } from "./print-fmt/parser.js";
import { MAX_LINE, readInteger, textOf } from "./print-fmt/value.js";
import { KernelSurroundings } from "./surroundings.js";
import { syscallEnter, syscallExit } from "./syscall-text.js";

/** What an event says, behind the time; of several lines where it has a stack. */
type Show = (record: Buffer) => string;

/** The id, which every record begins with (struct trace_entry). */
const ID_BYTES = 2;

/** Events whose text is longer cost by its length. */
const USUAL_TEXT = 4096;

/** Between stack frames: the kernel's mark for a trampoline of ftrace (kernel/trace/trace.h). */
const TRAMPOLINE = 0x7fffffffn;
const STACK_END = 2n ** 64n - 1n;

/** Shows the events of one instance as tracefs does. How an event is shown is found out once. */
export class EventTexts {
  readonly surroundings: KernelSurroundings;
  readonly #kernel: Kernel;
  readonly #events: Events;
  readonly #symOffset: boolean;
  readonly #shows = new Map<number, Show>();

  constructor(kernel: Kernel, events: Events, instance: Instance) {
    this.#kernel = kernel;
    this.#events = events;
    this.#symOffset = instance.hasOption("SYM_OFFSET");
    this.surroundings = new KernelSurroundings(kernel, events, instance.hasOption("HASH_PTR"));
  }

  /** A record's event; undefined where the kernel knows none of its id. */
  format(record: Buffer): EventFormat | undefined {
    return record.length < ID_BYTES ? undefined : this.#events.format(record.readUInt16LE(0));
  }

  /** As latin1: each character is a byte of the guest's. */
  text(record: Buffer): string {
    if (record.length < ID_BYTES) return "an event without a type";
    const id = record.readUInt16LE(0);
    let show = this.#shows.get(id);
    if (show === undefined) {
      const format = this.#events.format(id);
      show = format === undefined ? () => `Unknown type ${id}` : this.#show(format);
      this.#shows.set(id, show);
    }
    const shown = show(record);
    // A stack has some KiB; the lines are all that a lie needs.
    if (shown.length > USUAL_TEXT) this.#kernel.budget.spend(shown.length / USUAL_TEXT);
    return shown;
  }

  functionName(address: bigint): string {
    return this.surroundings.functionName(address, this.#symOffset);
  }

  #show(format: EventFormat): Show {
    const own = format.system === "ftrace" ? this.#ownShow(format) : undefined;
    if (own !== undefined) return own;
    if (format.syscall !== undefined) {
      const { syscall } = format;
      return format.name.startsWith("sys_exit")
        ? syscallExit(syscall, format)
        : syscallEnter(syscall, format);
    }
    try {
      const show = compilePrintFmt(format.printFmt, format.byName, this.surroundings);
      return (record) => `${format.name}: ${show(record)}`;
    } catch (error) {
      if (!(error instanceof PrintFmtError)) throw error;
      this.#kernel.notes.add(
        `event ${format.system}:${format.name} is shown field by field: ${error.message}`,
      );
      return (record) => `${format.name}: ${fieldsText(format, record, this.surroundings)}`;
    }
  }

  /** Ftrace's own events (kernel/trace/trace_output.c); undefined of those that are shown by their print_fmt. */
  #ownShow(format: EventFormat): Show | undefined {
    const { byName } = format;
    const number = (name: string): ((record: Buffer) => bigint) => {
      const field = byName.get(name);
      return (record) => fieldNumber(record, field);
    };
    const bytes = (name: string): ((record: Buffer) => Buffer) => {
      const at = byName.get(name)?.offset;
      return (record) => (at === undefined ? Buffer.alloc(0) : record.subarray(at));
    };
    const ip = number("ip");
    switch (format.name) {
      case "function": {
        const parent = number("parent_ip");
        return (record) =>
          `${this.functionName(ip(record))} <-${this.functionName(parent(record))}`;
      }
      case "kernel_stack": {
        const callers = bytes("caller");
        return (record) => ["<stack trace>", ...this.#frames(callers(record))].join("\n");
      }
      case "user_stack": {
        const callers = bytes("caller");
        return (record) => ["<user stack trace>", ...userFrames(callers(record))].join("\n");
      }
      case "print": {
        const text = bytes("buf");
        return (record) => `${this.functionName(ip(record))}: ${withoutEnd(textOf(text(record)))}`;
      }
      case "bputs": {
        const text = number("str");
        return (record) => {
          const shown = this.surroundings.text(text(record)) ?? "(fault)";
          return `${this.functionName(ip(record))}: ${withoutEnd(shown)}`;
        };
      }
      case "bprint": {
        const address = number("fmt");
        const args = bytes("buf");
        return (record) => {
          const format = this.surroundings.text(address(record)) ?? "(fault)";
          const shown = bprint(format, args(record), this.surroundings);
          return `${this.functionName(ip(record))}: ${withoutEnd(shown)}`;
        };
      }
      case "raw_data": {
        const id = number("id");
        const data = bytes("buf");
        return (record) => {
          const shown = data(record).toString("hex").match(/../g) ?? [];
          return [`# ${id(record).toString(16)} buf:`, ...shown].join(" ");
        };
      }
      default:
        return undefined;
    }
  }

  *#frames(callers: Buffer): Generator<string, void, void> {
    for (let at = 0; at + 8 <= callers.length; at += 8) {
      const address = callers.readBigUInt64LE(at);
      if (address === STACK_END) return;
      yield address === TRAMPOLINE
        ? " => [FTRACE TRAMPOLINE]"
        : ` => ${this.functionName(address)}`;
    }
  }
}

function* userFrames(callers: Buffer): Generator<string, void, void> {
  for (let at = 0; at + 8 <= callers.length; at += 8) {
    const address = callers.readBigUInt64LE(at);
    if (address === 0n) return;
    yield ` =>  <${address.toString(16).padStart(16, "0")}>`;
  }
}

/** A mark ends its own line. */
const withoutEnd = (text: string): string => (text.endsWith("\n") ? text.slice(0, -1) : text);

/** An integer field's value; 0 where there is none. */
export function fieldNumber(record: Buffer, field: EventField | undefined): bigint {
  const type = field && integerOf(field);
  return type === undefined || field === undefined ? 0n : readInteger(record, field.offset, type);
}

/** A field's value: a number, a text, an array's elements, or bytes in hexadecimal. */
export function fieldValue(field: EventField, record: Buffer): bigint | string | bigint[] {
  const { offset, size, element, dynamic } = field;
  if (element === undefined && !dynamic && integerOf(field) !== undefined) {
    return fieldNumber(record, field);
  }
  const whole = dynamic
    ? dynamicBytes(field, record)
    : record.subarray(offset, size === 0 ? undefined : offset + size);
  const bytes = whole.subarray(0, MAX_LINE);
  if (/\bchar\b/.test(field.type)) return textOf(bytes);
  if (element === undefined || element.bits === 8) return bytes.toString("hex");
  const width = element.bits / 8;
  return Array.from({ length: Math.floor(bytes.length / width) }, (_, i) =>
    readInteger(bytes, i * width, element),
  );
}

/** `FIELD=VALUE`, for what isn't shown otherwise: an address in hexadecimal, hashed as elsewhere. */
function fieldsText(
  { fields }: EventFormat,
  record: Buffer,
  surroundings: KernelSurroundings,
): string {
  return fields
    .map((field) => {
      const value = fieldValue(field, record);
      if (Array.isArray(value)) return `${field.name}={${value.join(",")}}`;
      const isPointer = field.type.endsWith("*") && typeof value === "bigint";
      return `${field.name}=${isPointer ? surroundings.pointer(BigInt.asUintN(64, value)) : value}`;
    })
    .join(" ");
}
