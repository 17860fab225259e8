import type { EventField } from "../../../src/memory/trace/event-field.js";
import { bprint } from "../../../src/memory/trace/print-fmt/bprint.js";
import { PrintFmtError } from "../../../src/memory/trace/print-fmt/error.js";
import { compilePrintFmt } from "../../../src/memory/trace/print-fmt/parser.js";
import type { Surroundings } from "../../../src/memory/trace/print-fmt/value.js";
import { decodePage, withoutRead } from "../../../src/memory/trace/ring-page.js";
import type { Random } from "../random.js";
import { expect, type FuzzTarget, InputReader } from "../target.js";

/** What an input's first byte says it is. */
const WAYS = ["page", "print_fmt", "bprint"] as const;

const LAYOUT = { timeStamp: 0, commit: 8, data: 16 };
const PAGE_BYTES = 4096;

/** No line is longer (src/memory/trace/print-fmt/parser.ts). */
const MAX_LINE = 8192;

const field = (name: string, offset: number, size: number, more: Partial<EventField> = {}) =>
  [
    name,
    {
      ...{ name, offset, size, type: "int", signed: false },
      ...{ element: undefined, dynamic: false, relative: false, ...more },
    },
  ] as const;

const FIELDS: ReadonlyMap<string, EventField> = new Map<string, EventField>([
  field("u8", 8, 1),
  field("u16", 10, 2),
  field("s32", 12, 4, { signed: true }),
  field("u64", 16, 8),
  field("comm", 24, 16, { type: "char[16]", element: { bits: 8, signed: false } }),
  field("words", 40, 16, { type: "u32[4]", element: { bits: 32, signed: false } }),
  field("text", 56, 4, { type: "__data_loc char[]", dynamic: true }),
  field("near", 60, 4, { type: "__rel_loc u16[]", dynamic: true, relative: true }),
  field("rest", 64, 0, { type: "char[]", element: { bits: 8, signed: false } }),
]);

const KERNEL: Surroundings = {
  constant: (name) => (name === "ONE" ? 1n : undefined),
  variable: (name) => (name === "vmemmap_base" ? 0xffffea0000000000n : undefined),
  sizeOf: (name) => (name === "page" ? 64 : undefined),
  integerType: (name) => (name === "gfp_t" ? { bits: 32, signed: false } : undefined),
  symbol: (address, withOffset) => `f${withOffset ? "+0x1/0x2" : ""}@${address}`,
  pointer: (address) => address.toString(16).padStart(16, "0"),
  text: (address) => (address === 1n ? "a text" : undefined),
  spend: () => undefined,
};

/** What print_fmt strings are made of: words, and what stands between them. */
const PARTS = [
  ...['"a=%d', ' b=%-8s"', '"%p %pS %px"', '"%*.*s"', '"%5.3llx|%hhu"', '"%pI6c"', '"%pM"'],
  ...["REC->u8", "REC->u16", "REC->s32", "REC->u64", "REC->comm", "REC->words[1]", "REC->rest"],
  ...["__get_str(text)", "__get_dynamic_array(near)", "__get_dynamic_array_len(text)"],
  ...['__print_flags(REC->s32, "|", { 1, "A" }, { 1 << 2, "B" })', "__get_cpumask(text)"],
  ...['__print_symbolic(REC->u8, { ONE, "one" }, { -1, "none" }, { 0, ((void *)0) })'],
  ...["__print_array(REC->words, 4, sizeof(u32))", "__print_hex(__get_dynamic_array(text), 5)"],
  ...["(gfp_t)", "(unsigned long)", "(void *)", "((struct page *)vmemmap_base)", "(u8 *)"],
  ...["&REC->words[", "]", "*", "&", "~", "!", "-", "+", "<<", ">>", "/", "%", "==", "&&", "||"],
  ...["?", ":", "(", ")", ",", ",", ",", "{", "}", "0xffffffffffffffffULL", "077", "1", "'c'"],
  ...['"', "\\", "sizeof(", "__builtin_expect(1, 0)", "ONE", "REC", "->"],
];

/** What comes of a guest's ftrace buffers, and of its descriptions of events. */
export class Trace implements FuzzTarget {
  generate(random: Random): Buffer {
    const way = random.below(WAYS.length);
    const body = WAYS[way] === "page" ? page(random) : printFmt(random);
    return Buffer.concat([Buffer.from([way]), body]);
  }

  run(input: Buffer): string {
    const way = WAYS[(input[0] ?? 0) % WAYS.length] ?? "page";
    const bytes = input.subarray(1);
    if (way === "page") return `page ${runPage(bytes)}`;
    // In front of the text a record: its length, and as many bytes.
    const reader = new InputReader(bytes);
    const record = Buffer.from(reader.bytes(reader.u8()));
    const text = reader.bytes(reader.left).toString("latin1");
    return way === "bprint" ? runBprint(text, record) : runPrintFmt(text, record);
  }

  async check(): Promise<void> {
    const record = Buffer.alloc(64);
    record.writeInt32LE(-5, 12);
    const show = compilePrintFmt('"%d %s", REC->s32, REC->u8 ? "a" : "b"', FIELDS, KERNEL);
    expect(show(record) === "-5 b", "a good print_fmt is evaluated");
  }

  close(): void {}
}

function runPage(bytes: Buffer): string {
  const page = Buffer.alloc(PAGE_BYTES);
  bytes.copy(page);
  const whole = decodePage(page, LAYOUT);
  let last = LAYOUT.data;
  for (const { offset, length, time } of whole.events) {
    expect(offset >= last + 4 && length >= 0, "events follow each other");
    expect(offset + length <= LAYOUT.data + whole.committed, "an event is in what was committed");
    expect(time >= 0n && time < 2n ** 64n, "a time has 64 bits");
    last = offset + length;
  }
  const read = page.readUInt16LE(PAGE_BYTES - 2);
  const behind = decodePage(page, LAYOUT, read).events;
  const rest = decodePage(withoutRead(page, LAYOUT, read), LAYOUT).events;
  expect(rest.length === behind.length, "what was read is left out, and nothing else");
  for (const [index, { time, length }] of rest.entries()) {
    expect(
      time === behind[index]?.time && length === behind[index]?.length,
      "what is left stays as it is",
    );
  }
  const lost = whole.missed === undefined ? "" : `lost ${whole.missed.count !== undefined}`;
  return `${Math.min(whole.events.length, 8)} ${whole.broken?.replace(/\d+/g, "N") ?? ""} ${lost}`;
}

function runPrintFmt(text: string, record: Buffer): string {
  try {
    const shown = compilePrintFmt(text, FIELDS, KERNEL)(record);
    expect(shown.length <= MAX_LINE, "a line is bounded");
    return `shown ${[...new Set(text.match(/__\w+|%\S{1,3}|[-+*/&|^<>=?]+/g))].slice(0, 4).join(" ")}`;
  } catch (error) {
    if (!(error instanceof PrintFmtError)) throw error;
    return error.message.replace(/\d+/g, "N").replace(/^\w+\(\)|"."/, "X");
  }
}

function runBprint(text: string, record: Buffer): string {
  const shown = bprint(text, record, KERNEL);
  return `bprint ${shown === text} ${[...new Set(text.match(/%\S{1,3}/g))].slice(0, 4).join(" ")}`;
}

/** A sub-buffer as the kernel writes it, in which something may have changed. */
function page(random: Random): Buffer {
  const data: Buffer[] = [];
  let size = 0;
  while (size < 3000 && !random.oneIn(24)) {
    const type = random.pick([0, 1, 2, 5, 28, 29, 30, 31]);
    const delta = random.oneIn(8) ? random.u32() >>> 5 : random.below(2000);
    const header = Buffer.alloc(4);
    header.writeUInt32LE(((delta << 5) | type) >>> 0);
    const bytes = random.below(60) * 4;
    const word = Buffer.alloc(4);
    word.writeUInt32LE(type >= 30 ? random.u32() : bytes + 4);
    const body = type === 0 || type === 29 ? Buffer.alloc(bytes) : Buffer.alloc(0);
    const event =
      type > 0 && type < 29
        ? Buffer.concat([header, Buffer.alloc(type * 4)])
        : Buffer.concat([header, word, body]);
    data.push(event);
    size += event.length;
  }
  const head = Buffer.alloc(LAYOUT.data);
  head.writeUInt32LE(random.u32(), 4);
  head.writeUInt32LE((random.oneIn(8) ? 0xc0000000 : 0) + size, LAYOUT.commit);
  const made = Buffer.concat([head, ...data]);
  if (random.oneIn(2)) made[random.below(made.length)] = random.u32();
  return made;
}

function printFmt(random: Random): Buffer {
  const record = Buffer.alloc(random.below(256));
  for (let i = 0; i < record.length; i++) record[i] = random.u32();
  const format = random.pick(PARTS.filter((part) => part.startsWith('"')));
  const parts = Array.from({ length: random.below(12) }, () => random.pick(PARTS));
  return Buffer.concat([
    Buffer.from([record.length]),
    record,
    Buffer.from(`${format}${random.oneIn(8) ? "" : ", "}${parts.join(" ")}`),
  ]);
}
