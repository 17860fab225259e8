import { MemoryError } from "../errors.js";
import type { Kernel, Struct } from "../kernel/index.js";
import { declaration, type EventField } from "./event-field.js";
import { namedInteger } from "./print-fmt/c-types.js";
import type { IntegerType } from "./print-fmt/value.js";

/** How an event's records are laid out, and how they are shown: what its `format` file in tracefs says. */
export interface EventFormat {
  /** The record's first 16 bits. */
  readonly id: number;
  readonly system: string;
  readonly name: string;
  /** Those that every event has. */
  readonly common: readonly EventField[];
  readonly fields: readonly EventField[];
  readonly byName: ReadonlyMap<string, EventField>;
  readonly printFmt: string;
  /** Of an entry to or an exit from a system call. */
  readonly syscall: Syscall | undefined;
}

/** A system call, as struct syscall_metadata describes it. */
export interface Syscall {
  readonly name: string;
  readonly arguments: readonly string[];
  /** Which arguments' memory was copied behind the record; undefined where the kernel copies none. */
  readonly copied: Copied | undefined;
}

export interface Copied {
  readonly mask: number;
  /** The argument that says how long the copied memory is; negative for texts. */
  readonly sizeArgument: number;
  readonly isText: boolean;
}

/** Linux 7.3 has some 2500; ids have 16 bits. */
const MAX_EVENTS = 65536;
const MAX_FIELDS = 256;
/** An event fits into a sub-buffer, which has a page or a few. */
const MAX_RECORD = 1 << 20;

const MAX_NAME = 512;
const MAX_PRINT_FMT = 65536;
const MAX_ARGUMENTS = 6;

/** The events that a kernel has registered, its modules' among them. What describes one is read when it is asked for. */
export class Events {
  readonly #kernel: Kernel;
  readonly #calls = new Map<number, Struct>();
  readonly #formats = new Map<number, EventFormat | undefined>();
  readonly #texts = new Map<bigint, string>();
  #common: readonly EventField[] | undefined;

  /** Throws MemoryError where the kernel has no events, or doesn't describe them. */
  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    const calls = kernel.list(kernel.expectSymbol("ftrace_events"), "trace_event_call", "list");
    for (const call of calls) {
      if (this.#calls.size === MAX_EVENTS) break;
      kernel.attempt("an event", () => this.#calls.set(call.number("event.type"), call));
    }
  }

  /** The format of an event's id; undefined where there is none, or it can't be read. */
  format(id: number): EventFormat | undefined {
    if (!this.#formats.has(id)) {
      const call = this.#calls.get(id);
      const read = () => call && this.#read(id, call);
      this.#formats.set(id, this.#kernel.attempt(`event ${id}`, read));
    }
    return this.#formats.get(id);
  }

  /** Where the parts of a record lie that every event has. */
  get common(): readonly EventField[] {
    this.#common ??= this.#fields(this.#kernel.expectSymbol("ftrace_common_fields"));
    return this.#common;
  }

  #read(id: number, call: Struct): EventFormat {
    const kernel = this.#kernel;
    const eventClass = call.follow("class");
    if (eventClass === undefined) throw new MemoryError("DAMAGED", "an event has no class");
    const system = this.#text(eventClass.pointer("system"), MAX_NAME);
    const metadata =
      system === "syscalls" && call.pointer("data") !== 0n
        ? kernel.struct("syscall_metadata", call.pointer("data"))
        : undefined;
    // A class with get_fields keeps its fields elsewhere: those of system calls are in their metadata.
    const isElsewhere = eventClass.pointer("get_fields") !== 0n;
    const head = isElsewhere ? metadata?.at("enter_fields") : eventClass.at("fields");
    const fields = head === undefined ? [] : this.#fields(head);
    const { common } = this;
    return {
      ...{ id, system, common, fields },
      name: this.#name(call),
      byName: new Map([...common, ...fields].map((field) => [field.name, field])),
      printFmt: this.#text(call.pointer("print_fmt"), MAX_PRINT_FMT),
      syscall: metadata && this.#syscall(metadata),
    };
  }

  #name(call: Struct): string {
    const bit = this.#kernel.expectTypes().constant("TRACE_EVENT_FL_TRACEPOINT") ?? 0n;
    if ((call.u64("flags") & bit) === 0n) return this.#text(call.pointer("name"), MAX_NAME);
    return this.#text(call.follow("tp")?.pointer("name") ?? 0n, MAX_NAME);
  }

  /** The kernel puts each at its list's head: the last comes first. */
  #fields(head: bigint): EventField[] {
    const fields: EventField[] = [];
    for (const one of this.#kernel.list(head, "ftrace_event_field", "link")) {
      if (fields.length === MAX_FIELDS) break;
      fields.push(this.#field(one));
    }
    return fields.reverse();
  }

  #field(one: Struct): EventField {
    const declared = this.#text(one.pointer("type"), MAX_NAME);
    const [offset, size] = [one.number("offset"), one.number("size")];
    if (!(offset >= 0 && offset <= MAX_RECORD && size >= 0 && size <= MAX_RECORD)) {
      throw new MemoryError("DAMAGED", `a field of ${size} bytes at ${offset} of an event`);
    }
    const length = one.has("len") ? one.number("len") : 0;
    const dynamic = /^__(?:data|rel)_loc\b/.test(declared);
    // Since Linux 6.4 the brackets may hold a constant's name: `len` is its value.
    const type = !dynamic && length > 0 ? declared.replace(/\[[^\]]*\]/, `[${length}]`) : declared;
    const signed = one.number("is_signed") !== 0;
    return {
      name: this.#text(one.pointer("name"), MAX_NAME),
      ...{ type, size, signed, dynamic },
      offset,
      element: this.#element(type, size, signed, dynamic),
      relative: declared.startsWith("__rel_loc"),
    };
  }

  #element(type: string, size: number, signed: boolean, dynamic: boolean): IntegerType | undefined {
    const match = /^(?:__(?:data|rel)_loc )?([^[]*)\[(\d*)\]/.exec(type);
    if (match === null) return undefined;
    const [, base = "", count = ""] = match;
    const bits = dynamic || count === "" ? 0 : (size / Number(count)) * 8;
    if (bits === 8 || bits === 16 || bits === 32 || bits === 64) return { bits, signed };
    return this.integerType(base.split(/\s+/).filter(Boolean));
  }

  /** An integer type, by the words that name it. */
  integerType(words: readonly string[]): IntegerType | undefined {
    const { types } = this.#kernel;
    return namedInteger(words, (name) => {
      const size = types?.size(name);
      const bits = (size ?? 0) * 8;
      if (bits !== 8 && bits !== 16 && bits !== 32 && bits !== 64) return undefined;
      return types?.struct(name) === undefined ? { bits, signed: false } : undefined;
    });
  }

  #syscall(metadata: Struct): Syscall {
    const count = metadata.number("nb_args");
    if (count > MAX_ARGUMENTS)
      throw new MemoryError("DAMAGED", `a system call of ${count} arguments`);
    const names = metadata.pointer("args");
    const texts = metadata.has("user_arg_is_str");
    return {
      name: this.#text(metadata.pointer("name"), MAX_NAME),
      arguments: Array.from({ length: count }, (_, i) =>
        this.#text(this.#kernel.pointer(names + BigInt(i * 8)), MAX_NAME),
      ),
      copied: metadata.has("user_mask")
        ? {
            mask: metadata.number("user_mask"),
            sizeArgument: Number(BigInt.asIntN(8, metadata.u64("user_arg_size"))),
            isText: texts && metadata.number("user_arg_is_str") !== 0,
          }
        : undefined,
    };
  }

  #text(address: bigint, limit: number): string {
    if (address === 0n) return "";
    let text = this.#texts.get(address);
    if (text === undefined) {
      text = this.#kernel.text(address, limit);
      this.#texts.set(address, text);
    }
    return text;
  }
}

/** An event's format as its file in tracefs has it (kernel/trace/trace_events.c). */
export function formatText({ id, name, common, fields, printFmt }: EventFormat): string {
  const line = (field: EventField): string => {
    const { before, behind } = declaration(field);
    const { offset, size, signed } = field;
    return `\tfield:${before} ${field.name}${behind};\toffset:${offset};\tsize:${size};\tsigned:${signed ? 1 : 0};\n`;
  };
  return [
    `name: ${name}\nID: ${id}\nformat:\n`,
    ...common.map(line),
    "\n",
    ...fields.map(line),
    `\nprint fmt: ${printFmt}\n`,
  ].join("");
}
