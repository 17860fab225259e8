import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import { dumpText, findRecords, groupDumps, readHeader } from "../../../src/analysis/index.js";
import { readFacts } from "../../../src/analysis/title/index.js";
import { decompress, gunzip } from "../../../src/formats/decompress.js";
import { linePieces, PrintablePieces, parseHeader, printable } from "../../../src/records/index.js";
import { checkout } from "../../../vm/paths.js";
import { fastFolder } from "../good-guest.js";
import { MAX_INPUT_BYTES } from "../mutate.js";
import type { Random } from "../random.js";
import { expect, type FuzzTarget, InputReader } from "../target.js";

/** What an input's first byte says: how its bytes become a record. */
const WAYS = ["text", "compressed", "deflate", "zlib", "gzip", "directory"] as const;

/** In the last three nearly all the time is zlib's own. */
const OFTEN = [
  ...["text", "text", "text", "text", "compressed", "compressed", "compressed"],
  ...["deflate", "zlib", "gzip"],
] as readonly (typeof WAYS)[number][];

/** src/formats/decompress.ts promises it. */
const MAX_TEXT_BYTES = 16 << 20;

/** Anything that a terminal takes as a command. */
const UNPRINTABLE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069]/;

const GOOD = Buffer.from("Panic#1 Part1 oldest-first last\na good record\n");

/** What `list`, `show` and `follow` read: a guest's records, and the names and notes beside them. */
export class Records implements FuzzTarget {
  readonly #folder = fastFolder();
  #directories = 0;

  generate(random: Random): Buffer {
    const way = WAYS.indexOf(random.oneIn(64) ? "directory" : random.pick(OFTEN));
    const text = Buffer.concat(
      Array.from({ length: 1 + random.below(4) }, () => Buffer.from(line(random))),
    );
    if (WAYS[way] !== "compressed") return Buffer.concat([Buffer.from([way]), text]);
    // A compressed record in which something changed, rather than bytes that no decoder begins with.
    // Decoders of our own read a kernel's in a millisecond: enough of them are kept and changed further.
    const stored = random.oneIn(16)
      ? Buffer.from(random.pick(KERNEL_RECORDS))
      : random.pick([deflateRawSync, deflateSync, gzipSync])(text);
    stored[random.below(stored.length)] = random.u32();
    return Buffer.concat([Buffer.from([way]), stored]);
  }

  run(input: Buffer): string {
    const way = WAYS[(input[0] ?? 0) % WAYS.length] ?? "text";
    const bytes = input.subarray(1);
    switch (way) {
      case "text":
        return `text ${this.#text(bytes)}`;
      case "compressed":
        return `compressed ${this.#decoded(bytes)}`;
      case "deflate":
        return `deflate ${this.#decoded(deflateRawSync(bytes))}`;
      case "zlib":
        return `zlib ${this.#decoded(deflateSync(bytes))}`;
      case "gzip":
        return `gzip ${this.#gunzipped(bytes)}`;
      case "directory":
        return `directory ${this.#directory(bytes)}`;
    }
  }

  async check(): Promise<void> {
    expect(
      decompress(deflateRawSync(GOOD))?.text.equals(GOOD) === true,
      "a good record is decompressed",
    );
    expect(gunzip(gzipSync(GOOD)).text.equals(GOOD), "and one that the host compressed");
    expect(parseHeader(GOOD)?.header.last === true, "a good header is read");
    expect(printable(GOOD) === GOOD.toString(), "good text stays as it is");
  }

  close(): void {
    rmSync(this.#folder, { recursive: true });
  }

  #text(bytes: Buffer): string {
    const header = parseHeader(bytes);
    if (header !== undefined) {
      expect(Number.isSafeInteger(header.header.part), "a part is a whole number");
      expect(Number.isSafeInteger(header.header.count), "a count is a whole number");
      expect(bytes[header.bytes - 1] === 10, "a header is a line");
    }
    const shown = printable(bytes);
    expect(!UNPRINTABLE.test(shown), "text that is shown has nothing that a terminal obeys");
    const pieces = new PrintablePieces();
    const cutAt = bytes.length >> 1;
    const inPieces =
      pieces.push(bytes.subarray(0, cutAt)) + pieces.push(bytes.subarray(cutAt)) + pieces.end();
    expect(!UNPRINTABLE.test(inPieces), "nor has it in pieces");
    const { title, signature, frames } = readFacts(shown.split("\n"));
    expect(title.length <= 256 && frames.length <= 64, "a title and a trace are bounded");
    expect(/^([0-9a-f]{16})?$/.test(signature), "a signature has 16 digits");
    let length = 0;
    for (const piece of linePieces([bytes.subarray(0, cutAt), bytes.subarray(cutAt)])) {
      length += piece.length;
    }
    expect(length === bytes.length, "no byte is lost between pieces");
    const words = header === undefined ? "" : Object.keys(header.header).join(",");
    return `${words} ${title.slice(0, 8)} ${shown.includes("\\x")} ${shown.includes("\\u")} ${bytes.includes(10)}`;
  }

  #decoded(stored: Buffer): string {
    const decoded = decompress(stored);
    if (decoded === undefined) return "nothing";
    const { text, ending, compression } = decoded;
    expect(text.length <= MAX_TEXT_BYTES, "no record fills the memory");
    return `${compression} ${ending} ${this.#text(text.subarray(0, 4096))}`;
  }

  #gunzipped(bytes: Buffer): string {
    const stored = gzipSync(bytes);
    expect(gunzip(stored).text.equals(bytes), "what the host compressed is read");
    const cut = gunzip(stored.subarray(0, stored.length >> 1));
    expect(cut.ending !== "whole", "a file that is cut off isn't taken for a whole one");
    return this.#text(cut.text);
  }

  /** Files of a directory: their names and contents, and the notes `.erased` and `.streams`. */
  #directory(bytes: Buffer): string {
    const directory = join(this.#folder, `${this.#directories++}`);
    mkdirSync(directory);
    const reader = new InputReader(bytes);
    try {
      while (reader.left > 0) {
        const name = NAMES[reader.u8() % NAMES.length] ?? "dmesg-1";
        writeFileSync(join(directory, name), reader.bytes(reader.u8()));
      }
      const records = findRecords(directory).map(readHeader);
      const dumps = groupDumps(records);
      for (const dump of dumps) for (const _ of dumpText(dump));
      return `${records.length} ${dumps.length}`;
    } finally {
      rmSync(directory, { recursive: true });
    }
  }
}

/** Made by a real kernel with each of pstore's compressors. */
const KERNEL_RECORDS = ["zstd", "lzo", "lz4", "lz4hc", "842"].map((name) =>
  readFileSync(join(checkout, "test/fixtures/compression", name)).subarray(0, MAX_INPUT_BYTES - 1),
);

const NAMES = [
  "dmesg-1",
  "dmesg-2",
  "dmesg-3.gz",
  "dmesg-4.enc.z",
  "dmesg-18446744073709551615",
  "ftrace-5",
  "console-6",
  "pmsg-7",
  ".erased",
  ".streams",
];

const CRASH_LINES = [
  "Kernel panic - not syncing: Fatal exception",
  "BUG: kernel NULL pointer dereference, address: 0000000000000008",
  "BUG: KASAN: slab-out-of-bounds in f+0x1/0x2",
  "WARNING: CPU: 0 PID: 1 at kernel/f.c:1 f+0x1/0x2",
  "Oops: 0002 [#1] PREEMPT SMP",
  "CPU: 0 PID: 1 Comm: sh Tainted: G 6.1.0 #1",
  "RIP: 0010:f+0x1/0x2",
  "Call Trace:",
  " <TASK>",
  " f+0x1/0x2",
  " ? g+0x1/0x2 [module]",
  " </TASK>",
  "---[ end trace 0000000000000000 ]---",
];

const BOOT = "00112233445566778899aabbccddeeff";

/** A line as it may stand in a record or a note, or something like it. */
function line(random: Random): string {
  const number = random.oneIn(4) ? random.interesting32() : random.below(4);
  switch (random.below(10)) {
    case 0:
      return `${random.pick(["Panic", "Oops", "Emergency", "x"])}#${number} Part${number}\n`;
    case 1:
    case 2: {
      const words = ["oldest-first", "last", `boot=${BOOT}`, "time=1.000000000", "later"];
      const some = Array.from({ length: random.below(6) }, () => random.pick(words));
      return `${[`Panic#${number} Part${number}`, ...some].join(" ")}\n`;
    }
    case 3:
      return `${BOOT} console-${number}\n`;
    case 4:
      return `dmesg-${number}\n`;
    case 5:
      return String.fromCharCode(...random.bytes(8), random.u32() & 0xffff);
    case 6:
      return random.bytes(random.below(32)).toString("latin1");
    case 7:
      return `<4>[    1.000000] ${random.pick(CRASH_LINES)}\n`;
    default:
      return `<6>[    ${number}.000000] text\n`;
  }
}
