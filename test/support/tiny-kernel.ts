import type { PhysicalMemory } from "../../src/memory/physical-memory.js";

/** What a kernel's image of a few pages has in it, laid out as Linux does, for tests without a guest. */
export interface TinyKernel {
  /** All of the guest's memory, from physical address 0 on. */
  readonly bytes: Buffer;
  readonly memory: PhysicalMemory;
  /** Kernel addresses by name. */
  readonly symbols: ReadonlyMap<string, bigint>;
  /** Where in `bytes` something lies that was put there, and how long it is. */
  readonly places: ReadonlyMap<string, { readonly at: number; readonly size: number }>;
}

export interface TinyOptions {
  readonly release?: string;
  /** As kallsyms keeps addresses since 7.0. */
  readonly ownPlace?: boolean;
  readonly levels?: 4 | 5;
  /** Texts of printk's ring; more than fit overwrite the oldest. */
  readonly messages?: readonly string[];
  /** Without VMCOREINFO, as before it is made. */
  readonly undescribed?: boolean;
  /** Where in the guest's memory `bytes` will lie: 0 if not said. */
  readonly base?: number;
}

const PAGE = 4096;
const PAGES = 24;
const TEXT = 0xffffffff81000000n;
const COUNT_BITS = 3;
const SIZE_BITS = 8;

/** Some of the tokens that stand for more than a character. */
const TOKENS = ["init_", "task", "list"];

/** Makes a memory in which a Linux describes itself. */
export function tinyKernel(options: TinyOptions = {}): TinyKernel {
  const { release = "6.12.0-tiny", ownPlace = false, levels = 4, base = 0 } = options;
  const bytes = Buffer.alloc(PAGES * PAGE);
  const symbols = new Map<string, bigint>();
  const places = new Map<string, { readonly at: number; readonly size: number }>();
  // The page tables are in the first pages, VMCOREINFO in the next.
  let end = 8 * PAGE;
  const put: Put = (name, make, align = 8) => {
    end = Math.ceil(end / align) * align;
    const data = typeof make === "function" ? make(TEXT + BigInt(end)) : make;
    data.copy(bytes, end);
    places.set(name, { at: end, size: data.length });
    const address = TEXT + BigInt(end);
    symbols.set(name, address);
    end += data.length;
    return address;
  };
  symbols.set("_text", TEXT);
  symbols.set("_stext", TEXT);
  symbols.set("schedule", TEXT + 0x100n);
  symbols.set("kfree", TEXT + 0x200n);
  symbols.set("_etext", TEXT + 0x1000n);
  const root = writePageTables(bytes, levels, base, places);
  symbols.set("swapper_pg_dir", TEXT + BigInt(root));

  const utsname = Buffer.alloc(6 * 65);
  utsname.write("Linux", 0);
  utsname.write(release, 2 * 65);
  put("init_uts_ns", utsname);
  writeLog(put, symbols, options.messages ?? ["Linux version tiny", "second\nof two lines", ""]);
  writeTasks(put);
  put("nr_cpu_ids", u32s(2));
  put("__cpu_present_mask", u64s(3n));
  put("__per_cpu_offset", u64s(0x1000n, 0x2000n));
  put("__start_BTF", tinyBtf());
  symbols.set("__stop_BTF", TEXT + BigInt(end));
  writeOrc(put, symbols);
  symbols.set("_end", TEXT + BigInt(PAGES * PAGE - 1));
  const described = new Map(symbols);
  const kallsyms = writeKallsyms(put, described, ownPlace);

  const info = [
    `OSRELEASE=${release}`,
    "BUILD-ID=0123456789abcdef",
    "PAGESIZE=4096",
    ...["init_uts_ns", "swapper_pg_dir", "_stext", "prb"].map((name) => symbolLine(name, symbols)),
    ...kallsyms,
    "OFFSET(uts_namespace.name)=0",
    `NUMBER(phys_base)=${base - 0x1000000}`,
    `NUMBER(pgtable_l5_enabled)=${levels === 5 ? 1 : 0}`,
    "KERNELOFFSET=0",
    ...LOG_INFO,
    "",
  ].join("\n");
  if (options.undescribed !== true) bytes.write(info, 7 * PAGE);
  places.set("vmcoreinfo", { at: 7 * PAGE, size: info.length });
  return { bytes, memory: memoryOf(bytes), symbols: described, places };
}

export function memoryOf(bytes: Buffer): PhysicalMemory {
  const all = [{ start: 0, size: bytes.length }];
  return {
    regions: all,
    extents: () => all,
    read: (address, into) => (address >= bytes.length ? 0 : bytes.copy(into, 0, address)),
    close: () => undefined,
  };
}

/** Puts data into the image, as it is or made for its address. Returns the address. */
type Put = (name: string, make: Buffer | ((address: bigint) => Buffer), align?: number) => bigint;

const symbolLine = (name: string, symbols: ReadonlyMap<string, bigint>) =>
  `SYMBOL(${name})=${(symbols.get(name) ?? 0n).toString(16)}`;

const u32s = (...values: readonly number[]): Buffer => {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) bytes.writeUInt32LE(value >>> 0, i * 4);
  return bytes;
};

const u64s = (...values: readonly bigint[]): Buffer => {
  const bytes = Buffer.alloc(values.length * 8);
  for (const [i, value] of values.entries()) bytes.writeBigUInt64LE(value, i * 8);
  return bytes;
};

function writePageTables(
  bytes: Buffer,
  levels: 4 | 5,
  base: number,
  places: Map<string, { readonly at: number; readonly size: number }>,
): number {
  const entry = (table: number, index: number, address: number) => {
    bytes.writeBigUInt64LE(BigInt(base + address) | 3n, table * PAGE + index * 8);
  };
  // Pages 1 to 5: of the fifth level, then down to that of pages.
  entry(1, 511, 2 * PAGE);
  entry(2, 511, 3 * PAGE);
  entry(3, 510, 4 * PAGE);
  entry(4, 8, 5 * PAGE);
  for (let i = 0; i < PAGES; i++) entry(5, i, i * PAGE);
  places.set("page tables", { at: PAGE, size: 5 * PAGE });
  return levels === 5 ? PAGE : 2 * PAGE;
}

const LOG_INFO = [
  "OFFSET(printk_ringbuffer.desc_ring)=0",
  "OFFSET(printk_ringbuffer.text_data_ring)=48",
  "OFFSET(prb_desc_ring.count_bits)=0",
  "OFFSET(prb_desc_ring.descs)=8",
  "OFFSET(prb_desc_ring.infos)=16",
  "OFFSET(prb_desc_ring.head_id)=24",
  "OFFSET(prb_desc_ring.tail_id)=32",
  "SIZE(prb_desc)=24",
  "OFFSET(prb_desc.state_var)=0",
  "OFFSET(prb_desc.text_blk_lpos)=8",
  "OFFSET(prb_data_blk_lpos.begin)=0",
  "OFFSET(prb_data_blk_lpos.next)=8",
  "SIZE(printk_info)=88",
  "OFFSET(printk_info.seq)=0",
  "OFFSET(printk_info.ts_nsec)=8",
  "OFFSET(printk_info.text_len)=16",
  "OFFSET(prb_data_ring.size_bits)=0",
  "OFFSET(prb_data_ring.data)=8",
];

/** As printk does it: ids and positions grow from just below where they wrap. */
function writeLog(put: Put, symbols: Map<string, bigint>, messages: readonly string[]): void {
  const count = 1 << COUNT_BITS;
  const size = 1n << BigInt(SIZE_BITS);
  const mask = (1n << 62n) - 1n;
  const descs = Buffer.alloc(count * 24);
  const infos = Buffer.alloc(count * 88);
  const text = Buffer.alloc(Number(size));
  const id0 = BigInt.asUintN(62, -BigInt(count + 1));
  // Never used, as all are at first.
  descs.writeBigUInt64LE((3n << 62n) | id0, (count - 1) * 24);
  let position = BigInt.asUintN(64, -size);
  const begins: bigint[] = [];
  for (const [seq, message] of messages.entries()) {
    const id = (id0 + 1n + BigInt(seq)) & mask;
    const index = Number(id & BigInt(count - 1));
    const data = Buffer.from(message);
    descs.writeBigUInt64LE((2n << 62n) | id, index * 24);
    infos.writeBigUInt64LE(BigInt(seq), index * 88);
    infos.writeBigUInt64LE(BigInt(seq) * 1_500_000_000n, index * 88 + 8);
    infos.writeUInt16LE(data.length, index * 88 + 16);
    infos.writeUInt8(0, index * 88 + 18);
    infos.writeUInt8(6 << 5, index * 88 + 19);
    const block = (8 + data.length + 7) & ~7;
    if (data.length === 0) {
      descs.writeBigUInt64LE(3n, index * 24 + 8);
      descs.writeBigUInt64LE(3n, index * 24 + 16);
      begins.push(position);
      continue;
    }
    const begin = position;
    let next = BigInt.asUintN(64, begin + BigInt(block));
    let at = Number(begin & (size - 1n));
    if (at + block > Number(size)) {
      next = BigInt.asUintN(64, begin - BigInt(at) + size + BigInt(block));
      at = 0;
    }
    text.writeBigUInt64LE(id, at);
    data.copy(text, at + 8);
    descs.writeBigUInt64LE(begin, index * 24 + 8);
    descs.writeBigUInt64LE(next, index * 24 + 16);
    begins.push(begin);
    position = next;
  }
  const head = (id0 + BigInt(messages.length)) & mask;
  const tail = messages.length < count ? id0 : (head - BigInt(count - 1)) & mask;
  const descsAt = put("descs", descs);
  const infosAt = put("infos", infos);
  const textAt = put("text", text);
  const ring = u64s(
    BigInt(COUNT_BITS),
    descsAt,
    infosAt,
    head,
    tail,
    0n,
    BigInt(SIZE_BITS),
    textAt,
  );
  symbols.set("prb", put("prb", u64s(put("ring", ring))));
}

/** Three tasks in a circle, the first of which is the list's head. */
function writeTasks(put: Put): void {
  put("init_task", (base) => {
    const tasks = Buffer.alloc(3 * TASK_BYTES);
    for (const [i, comm] of ["swapper", "init", "kthreadd"].entries()) {
      const at = i * TASK_BYTES;
      const link = (to: number) => base + BigInt((to % 3) * TASK_BYTES + 24);
      tasks.writeInt32LE(i - 1, at);
      tasks.write(comm, at + 4);
      tasks.writeBigUInt64LE(link(i + 1), at + 24);
      tasks.writeBigUInt64LE(link(i + 2), at + 32);
      tasks.writeBigUInt64LE(base, at + 40);
      // A bit, then one of three bits that is negative.
      tasks.writeUInt32LE(0b1101, at + 48);
    }
    return tasks;
  });
}

const TASK_BYTES = 56;

/** Entries at the begin of two functions and 4 bytes behind it, numbered as before 7.0. */
function writeOrc(put: Put, symbols: Map<string, bigint>): void {
  const ips = [0x100, 0x104, 0x200, 0x204];
  const make = (at: bigint) =>
    u32s(...ips.map((ip, i) => Number(BigInt.asIntN(32, TEXT + BigInt(ip) - at - BigInt(i * 4)))));
  const start = put("__start_orc_unwind_ip", make, 4);
  symbols.set("__stop_orc_unwind_ip", start + BigInt(ips.length * 4));
  const entries = Buffer.alloc(ips.length * 6);
  for (const i of ips.keys()) {
    entries.writeInt16LE(i % 2 === 0 ? 8 : 16, i * 6);
    entries.writeInt16LE(i % 2 === 0 ? 0 : -16, i * 6 + 2);
    // The stack pointer is 5, the caller's 1; type 2 is a call.
    entries.writeUInt16LE(5 | ((i % 2) << 4) | (2 << 8), i * 6 + 4);
  }
  put("__start_orc_unwind", entries, 2);
}

/** As x86-64 has them since Linux 6.9. */
const PT_REGS = [
  ...["r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8", "ax", "cx", "dx"],
  ...["si", "di", "orig_ax", "ip", "cs", "flags", "sp", "ss"],
];

/** A few structures, as pahole writes them. */
function tinyBtf(): Buffer {
  const strings: Buffer[] = [Buffer.from([0])];
  let stringBytes = 1;
  const name = (text: string): number => {
    if (text === "") return 0;
    strings.push(Buffer.from(`${text}\0`));
    stringBytes += text.length + 1;
    return stringBytes - text.length - 1;
  };
  const type = (text: string, kind: number, count: number, sizeOrType: number, flag = false) =>
    u32s(name(text), (flag ? 2 ** 31 : 0) + kind * 2 ** 24 + count, sizeOrType);
  const member = (text: string, id: number, offset: number) => u32s(name(text), id, offset);
  const field = (text: string, id: number, bit: number, bits: number) =>
    member(text, id, bit + bits * 2 ** 24);
  const types = Buffer.concat([
    // 1 to 4: int, unsigned long, char, s16
    ...[type("int", 1, 0, 4), u32s(0x01000020)],
    ...[type("unsigned long", 1, 0, 8), u32s(64)],
    ...[type("char", 1, 0, 1), u32s(0x01000008)],
    ...[type("short", 1, 0, 2), u32s(0x01000010)],
    // 5, 6: list_head, a pointer to it
    ...[type("list_head", 4, 2, 16), member("next", 6, 0), member("prev", 6, 64)],
    type("", 2, 0, 5),
    // 7: char[16]
    ...[type("", 3, 0, 0), u32s(3, 1, 16)],
    // 8: task_struct, with an unnamed union (9) and bit fields; 10: a pointer to it
    ...[
      type("task_struct", 4, 6, TASK_BYTES, true),
      field("pid", 1, 0, 0),
      field("comm", 7, 32, 0),
    ],
    ...[field("tasks", 5, 192, 0), field("", 9, 320, 0), field("one", 1, 384, 1)],
    field("three", 1, 385, 3),
    ...[type("", 5, 2, 8), member("parent", 10, 0), member("number", 2, 0)],
    type("", 2, 0, 8),
    // 11: orc_entry, of unsigned ints (12)
    ...[
      type("orc_entry", 4, 6, 6, true),
      field("sp_offset", 4, 0, 0),
      field("bp_offset", 4, 16, 0),
    ],
    ...[field("sp_reg", 12, 32, 4), field("bp_reg", 12, 36, 4), field("type", 12, 40, 3)],
    field("signal", 12, 43, 1),
    ...[type("unsigned int", 1, 0, 4), u32s(32)],
    // 13: cpumask of one word (14: unsigned long[1])
    ...[type("cpumask", 4, 1, 8), member("bits", 14, 0)],
    ...[type("", 3, 0, 0), u32s(2, 2, 1)],
    // 15, 16: an enum, a typedef of the task
    ...[type("state", 6, 2, 4), u32s(name("RUNNING"), 0), u32s(name("STUCK"), 7)],
    type("task_t", 8, 0, 8),
    // 17: pt_regs
    ...[type("pt_regs", 4, PT_REGS.length, PT_REGS.length * 8)],
    ...PT_REGS.map((text, i) => member(text, 2, i * 64)),
  ]);
  const header = u32s(0x0001eb9f, 24, 0, types.length, types.length, stringBytes);
  return Buffer.concat([header, types, ...strings]);
}

/** Names and addresses as scripts/kallsyms writes them. Returns what VMCOREINFO says of them. */
function writeKallsyms(
  put: Put,
  symbols: ReadonlyMap<string, bigint>,
  ownPlace: boolean,
): string[] {
  // Per-CPU symbols are kept as they are, and come first.
  const perCpu = ownPlace ? [] : [["this_cpu", 0x40n] as const];
  const inOrder = [...symbols].sort(([, a], [, b]) => Number(a - b));
  const all = [...perCpu, ...inOrder];
  const tokens = Array.from({ length: 256 }, (_, i) => TOKENS[i - 128] ?? String.fromCharCode(i));
  const encoded = all.map(([name]) => {
    let rest = name;
    const codes = ["T".charCodeAt(0)];
    while (rest !== "") {
      const long = TOKENS.findIndex((token) => rest.startsWith(token));
      codes.push(long < 0 ? rest.charCodeAt(0) : 128 + long);
      rest = rest.slice(long < 0 ? 1 : TOKENS[long]?.length);
    }
    return Buffer.from([codes.length, ...codes]);
  });
  const texts = tokens.map((token) => Buffer.from(token === "\0" ? "\0" : `${token}\0`, "latin1"));
  const starts = texts.map((_, i) =>
    texts.slice(0, i).reduce((sum, { length }) => sum + length, 0),
  );
  const index = Buffer.alloc(512);
  for (const [i, start] of starts.entries()) index.writeUInt16LE(start, i * 2);
  const at = {
    num_syms: put("syms", u32s(all.length)),
    names: put("names", Buffer.concat(encoded)),
    token_table: put("tokens", Buffer.concat(texts)),
    token_index: put("token index", index),
    offsets: put("offsets", (place) =>
      u32s(
        ...all.map(([, address], i) => {
          if (ownPlace) return Number(address - place - BigInt(i * 4));
          return address < TEXT ? Number(address) : Number(TEXT - 1n - address);
        }),
      ),
    ),
  };
  const lines = Object.entries(at).map(
    ([name, address]) => `SYMBOL(kallsyms_${name})=${address.toString(16)}`,
  );
  if (ownPlace) return lines;
  return [...lines, `SYMBOL(kallsyms_relative_base)=${put("base", u64s(TEXT)).toString(16)}`];
}
