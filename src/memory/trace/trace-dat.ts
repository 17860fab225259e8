import type { Kernel } from "../kernel/index.js";
import type { Contexts } from "./contexts.js";
import { type Events, formatText } from "./events.js";
import { CLOCK_NAMES, type Instance } from "./instances.js";
import type { CpuBuffer, RingBuffer } from "./ring-buffer.js";
import { eventsIn, type PageLayout, withoutRead } from "./ring-page.js";

/** The beginning of every trace.dat (trace-cmd.dat(5)). */
const MAGIC = Buffer.from([0x17, 0x08, 0x44, ...Buffer.from("tracing")]);
const VERSION = "6";

/** Options' numbers, as trace-cmd.dat.v6(5) and trace-cmd's sources have them. */
const OPTION_CPUSTAT = 2;
const OPTION_BUFFER = 3;
const OPTION_TRACECLOCK = 4;
const OPTION_UNAME = 5;
const OPTION_DONE = 0;

/** An instance and what was copied of it. */
export interface Copied {
  readonly instance: Instance;
  readonly buffer: RingBuffer;
}

/** A file in pieces, for whom its places have to be known before it is written. */
class Pieces {
  readonly list: Buffer[] = [];
  size = 0;

  bytes(piece: Buffer): void {
    this.list.push(piece);
    this.size += piece.length;
  }

  text(text: string): void {
    this.bytes(Buffer.from(text, "latin1"));
  }

  /** With its NUL. */
  string(text: string): void {
    this.text(`${text}\0`);
  }

  u16(value: number): void {
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16LE(value);
    this.bytes(bytes);
  }

  u32(value: number): void {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    this.bytes(bytes);
  }

  /** Its bytes, to be filled in later. */
  u64(value = 0): Buffer {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt(value));
    this.bytes(bytes);
    return bytes;
  }

  /** A text behind its length. */
  sized(text: string): void {
    const bytes = Buffer.from(text, "latin1");
    this.u64(bytes.length);
    this.bytes(bytes);
  }
}

/**
 * Instances as a trace.dat of version 6, which trace-cmd and KernelShark open: the ring buffers as they are, and the
 * kernel's own descriptions of what is in them. The first instance is the file's main one.
 * @returns the file in pieces, in their order. Throws MemoryError where there are too many instances of too many CPUs.
 */
export function traceDat(
  kernel: Kernel,
  events: Events,
  contexts: Contexts,
  copied: readonly Copied[],
): Buffer[] {
  const file = new Pieces();
  const [main] = copied;
  if (main === undefined) return [];
  const { layout, pageSize } = main.buffer;
  file.bytes(MAGIC);
  file.string(VERSION);
  // Little-endian, longs of 8 bytes.
  file.bytes(Buffer.from([0, 8]));
  file.u32(pageSize);
  file.string("header_page");
  file.sized(headerPage(layout, pageSize));
  file.string("header_event");
  file.sized(HEADER_EVENT);
  appendFormats(file, formatsIn(kernel, events, copied));
  appendSymbols(file, kernel);
  appendPrintkFormats(file, kernel);
  file.sized(contexts.cmdlines.text);
  const cpus =
    1 + Math.max(0, ...copied.flatMap(({ buffer }) => buffer.cpus.map(({ cpu }) => cpu)));
  file.u32(cpus);
  const places = appendOptions(file, kernel, copied);
  for (const [index, one] of copied.entries()) {
    // An instance's place is named by its option; the main one's data follow the options.
    places[index]?.writeBigUInt64LE(BigInt(file.size));
    appendBuffer(file, kernel, one, cpus, pageSize);
  }
  return file.list;
}

/** As events/header_page in tracefs. */
function headerPage({ timeStamp, commit, data }: PageLayout, pageSize: number): string {
  const line = (field: string, offset: number, size: number, signed: number): string =>
    `\tfield: ${field};\toffset:${offset};\tsize:${size};\tsigned:${signed};\n`;
  return [
    line("u64 timestamp", timeStamp, 8, 0),
    line("local_t commit", commit, 8, 1),
    line("char overwrite", commit, 1, 0),
    line("char data", data, pageSize - data, 0),
  ].join("");
}

/** As events/header_event in tracefs: it is the same in all kernels. */
const HEADER_EVENT = `# compressed entry header
\ttype_len    :    5 bits
\ttime_delta  :   27 bits
\tarray       :   32 bits

\tpadding     : type == 29
\ttime_extend : type == 30
\ttime_stamp : type == 31
\tdata max type_len  == 28
`;

/** The formats of the events that occur, by their systems. */
function formatsIn(
  kernel: Kernel,
  events: Events,
  copied: readonly Copied[],
): ReadonlyMap<string, readonly string[]> {
  const ids = new Set<number>();
  for (const { buffer } of copied) {
    for (const { pages } of buffer.cpus) {
      for (const page of pages) {
        for (const { offset, length } of eventsIn(page, buffer.layout)) {
          if (length >= 2) ids.add(page.readUInt16LE(offset));
        }
      }
    }
  }
  const systems = new Map<string, string[]>();
  kernel.attempt("the events' formats", () => {
    for (const id of [...ids].sort((a, b) => a - b)) {
      const format = events.format(id);
      if (format === undefined) continue;
      const text = formatText(format);
      kernel.budget.keep(text.length);
      const others = systems.get(format.system);
      if (others === undefined) systems.set(format.system, [text]);
      else others.push(text);
    }
  });
  return systems;
}

function appendFormats(file: Pieces, systems: ReadonlyMap<string, readonly string[]>): void {
  const own = systems.get("ftrace") ?? [];
  const others = [...systems].filter(([system]) => system !== "ftrace");
  file.u32(own.length);
  for (const text of own) file.sized(text);
  file.u32(others.length);
  for (const [system, list] of others) {
    file.string(system);
    file.u32(list.length);
    for (const text of list) file.sized(text);
  }
}

/** Some 9 MiB in a kernel of a distribution. */
const WORK_PER_BYTE = 0.01;

/** As /proc/kallsyms. */
function appendSymbols(file: Pieces, kernel: Kernel): void {
  const pieces: string[] = [];
  kernel.attempt("symbols", () => {
    for (const { address, type, name, module } of kernel.symbols?.all() ?? []) {
      const of = module === undefined ? "" : `\t[${module}]`;
      const line = `${address.toString(16).padStart(16, "0")} ${type} ${name}${of}\n`;
      kernel.budget.spend(WORK_PER_BYTE * line.length);
      kernel.budget.keep(line.length);
      pieces.push(line);
    }
  });
  const text = Buffer.from(pieces.join(""), "latin1");
  file.u32(text.length);
  file.bytes(text);
}

/** Texts that events point to: the formats of trace_printk(), and what tracepoint_string() marks. */
const POINTERS_TO_TEXT = ["trace_bprintk_fmt", "tracepoint_str"];
const MAX_TEXTS = 10_000;
const MAX_TEXT = 1024;

/** As printk_formats in tracefs. */
function appendPrintkFormats(file: Pieces, kernel: Kernel): void {
  const lines: string[] = [];
  for (const name of POINTERS_TO_TEXT) {
    const start = kernel.symbols?.address(`__start___${name}`);
    const end = kernel.symbols?.address(`__stop___${name}`);
    if (start === undefined || end === undefined) continue;
    const count = Math.min(Number(BigInt.asUintN(53, end - start)) >> 3, MAX_TEXTS);
    kernel.attempt("the formats of trace_printk()", () => {
      const addresses = kernel.read(start, count * 8);
      for (let i = 0; i < count; i++) {
        const address = addresses.readBigUInt64LE(i * 8);
        const text = kernel.text(address, MAX_TEXT);
        lines.push(`0x${address.toString(16)} : "${escaped(text)}"\n`);
      }
    });
  }
  const text = Buffer.from(lines.join(""), "latin1");
  file.u32(text.length);
  file.bytes(text);
}

const ESCAPES: Readonly<Record<string, string>> = { "\n": "\\n", "\t": "\\t", '"': '\\"' };

const escaped = (text: string): string =>
  text.replace(/[\n\t"]/g, (character) => ESCAPES[character] ?? character);

/** @returns where each instance's place is to be written: the main one has none. */
function appendOptions(
  file: Pieces,
  kernel: Kernel,
  copied: readonly Copied[],
): (Buffer | undefined)[] {
  file.text("options  \0");
  const option = (id: number, data: string): void => {
    file.u16(id);
    file.u32(data.length);
    file.text(data);
  };
  option(OPTION_UNAME, `Linux (none) ${kernel.info.release} x86_64\0`);
  for (const cpu of copied[0]?.buffer.cpus ?? []) option(OPTION_CPUSTAT, statistics(cpu));
  // The clock itself stands behind the places of the CPUs' data.
  option(OPTION_TRACECLOCK, "");
  const places = copied.slice(1).map(({ instance }) => {
    const name = `${instance.name ?? "global"}\0`;
    file.u16(OPTION_BUFFER);
    file.u32(8 + name.length);
    const place = file.u64();
    file.text(name);
    return place;
  });
  file.u16(OPTION_DONE);
  return [undefined, ...places];
}

/** As trace-cmd keeps each CPU's `stats`. */
const statistics = ({ cpu, entries, overrun, dropped }: CpuBuffer): string =>
  `CPU: ${cpu}\nentries: ${entries}\noverrun: ${overrun}\ndropped events: ${dropped}\n\0`;

const PLACE_BYTES = 16;

function appendBuffer(
  file: Pieces,
  kernel: Kernel,
  { instance, buffer }: Copied,
  cpus: number,
  pageSize: number,
): void {
  file.string("flyrecord");
  // Each CPU's offset and size.
  kernel.budget.keep(cpus * PLACE_BYTES);
  const places = Buffer.alloc(cpus * PLACE_BYTES);
  file.bytes(places);
  const { name } = instance.clock;
  file.sized(`${CLOCK_NAMES.map((one) => (one === name ? `[${one}]` : one)).join(" ")}\n`);
  for (const { cpu, pages, read } of buffer.cpus) {
    file.bytes(Buffer.alloc((pageSize - (file.size % pageSize)) % pageSize));
    places.writeBigUInt64LE(BigInt(file.size), cpu * PLACE_BYTES);
    places.writeBigUInt64LE(BigInt(pages.length * pageSize), cpu * PLACE_BYTES + 8);
    for (const [index, page] of pages.entries()) {
      file.bytes(index === 0 && read > 0 ? withoutRead(page, buffer.layout, read) : page);
    }
  }
}
