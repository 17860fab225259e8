import {
  closeSync,
  constants,
  lstatSync,
  openSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { HEADER_TEXTS, type RecordHeader } from "../records/index.js";
import { readLines } from "../records/read-lines.js";
import { keyOf, type RecordEntry } from "../records/record.js";
import { version } from "../version.js";
import type { CrashFacts } from "./crashes.js";
import type { HeadedRecord } from "./decode.js";
import { REVISION } from "./title/revision.js";

/** What was read of a record before; of a dump's first one also what its log says. */
interface Line {
  /** The record's name, size and time, as keyOf() makes it. */
  readonly key: string;
  /** Undefined where nobody can read it: trying again takes long, and a guest may have sent many. */
  readonly header: RecordHeader | undefined;
  readonly headerBytes: number;
  /** The keys of all of the dump's parts: facts hold for these and no others. */
  readonly parts?: readonly string[];
  readonly facts?: CrashFacts;
}

const INDEX_NAME = ".index";

/** Work of so long is kept also where somebody ends it before its end. */
const SAVE_MS = 5000;

/** Of a file that is being written; so old, it is that of a process that died. */
const STALE_MS = 60_000;

/** Lines of many times as many records as a directory has; of a longer file nothing is taken, as its head is behind that. */
const MAX_INDEX_BYTES = 256 << 20;

/** Of another version or revision nothing is taken: logs may have been understood differently. */
const HEAD = JSON.stringify({ index: "virtio-pstore", version, revision: REVISION });

const { O_CREAT, O_EXCL, O_WRONLY } = constants;

/**
 * `.index` of a directory of records: what was read of them before, so that a list of thousands needn't
 * read them again. It holds nothing that the records don't, and is left out where it is damaged, can't be
 * read, or tells of files that have changed since.
 */
export class CrashIndex {
  readonly #directory: string | undefined;
  #known: ReadonlyMap<string, Line>;
  #seen = new Map<string, Line>();
  #changed = false;
  #savedMs = performance.now();

  /** Without a directory nothing is known, and nothing kept. */
  constructor(directory: string | undefined) {
    this.#directory = directory;
    this.#known = directory === undefined ? new Map() : readIndex(join(directory, INDEX_NAME));
  }

  /** A dump's record and its header, for which `read` is called where it isn't known. */
  headed(record: RecordEntry, read: (record: RecordEntry) => HeadedRecord): HeadedRecord {
    const key = keyOf(record);
    const known = this.#seen.get(key) ?? this.#known.get(key);
    if (known !== undefined) {
      this.#seen.set(key, known);
      return { ...record, header: known.header, headerBytes: known.headerBytes };
    }
    const headed = read(record);
    const { header, headerBytes } = headed;
    this.#note({ key, header, headerBytes });
    return headed;
  }

  /** What the log in a dump's parts says, for which `read` is called where it isn't known. */
  facts(
    records: readonly RecordEntry[],
    read: () => { readonly facts: CrashFacts; readonly unread: boolean },
  ): CrashFacts {
    const parts = records.map(keyOf);
    const line = this.#seen.get(parts[0] ?? "");
    if (line?.facts !== undefined && line.parts?.join() === parts.join()) return line.facts;
    const { facts, unread } = read();
    if (!unread && line !== undefined && parts.every((key) => this.#seen.has(key))) {
      this.#note({ ...line, parts, facts });
    }
    return facts;
  }

  /** Writes what is new, where that is possible. Records that weren't asked for since the last time are forgotten. */
  save(): void {
    this.#known = this.#seen;
    this.#seen = new Map();
    this.#write(this.#known);
  }

  #note(line: Line): void {
    this.#seen.set(line.key, line);
    this.#changed = true;
    if (performance.now() - this.#savedMs > SAVE_MS) {
      this.#write(new Map([...this.#known, ...this.#seen]));
    }
  }

  #write(all: ReadonlyMap<string, Line>): void {
    this.#savedMs = performance.now();
    if (this.#directory === undefined || !this.#changed) return;
    const path = join(this.#directory, INDEX_NAME);
    const temporary = `${path}.new`;
    const lines = [HEAD, ...[...all.values()].map((line) => JSON.stringify(line))];
    let fd: number | undefined;
    try {
      if (isStale(temporary)) discard(temporary);
      fd = openSync(temporary, O_WRONLY | O_CREAT | O_EXCL, 0o600);
      writeFileSync(fd, `${lines.join("\n")}\n`);
      renameSync(temporary, path);
      this.#changed = false;
    } catch {
      // A directory that may only be read, a full disk, another that writes it: what isn't kept is read again.
      if (fd !== undefined) discard(temporary);
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
  }
}

const isStale = (path: string): boolean => {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found !== undefined && Math.abs(Date.now() - found.mtimeMs) > STALE_MS;
};

function discard(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Somebody else did, or put there what isn't ours.
  }
}

function readIndex(path: string): Map<string, Line> {
  const known = new Map<string, Line>();
  let all: string[];
  try {
    all = readLines(path, MAX_INDEX_BYTES, "utf8");
  } catch {
    return known;
  }
  const [head, ...lines] = all;
  if (head !== HEAD) return known;
  for (const line of lines) {
    const parsed = parseLine(line);
    if (parsed !== undefined) known.set(parsed.key, parsed);
  }
  return known;
}

function parseLine(line: string): Line | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isLine(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields => typeof value === "object" && value !== null;

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;

/** Whether the fields that are named are of a type; `optional` ones may be left out. */
const are = (fields: Fields, type: string, names: readonly string[], optional = false): boolean =>
  names.every((name) => {
    const value = fields[name];
    if (value === undefined) return optional;
    return type === "count" ? isCount(value) : typeof value === type;
  });

function isLine(value: unknown): value is Line {
  if (!isFields(value)) return false;
  const { header, parts, facts } = value;
  return (
    are(value, "string", ["key"]) &&
    are(value, "count", ["headerBytes"]) &&
    (header === undefined || isHeader(header)) &&
    (parts === undefined || (Array.isArray(parts) && parts.every((k) => typeof k === "string"))) &&
    (facts === undefined || isFacts(facts))
  );
}

const isHeader = (value: unknown): boolean =>
  isFields(value) &&
  Object.entries(HEADER_TEXTS).every(([name, pattern]) => {
    const text = value[name];
    return text === undefined ? name !== "reason" : typeof text === "string" && pattern.test(text);
  }) &&
  are(value, "count", ["count", "part"]) &&
  are(value, "boolean", ["oldestFirst", "last", "printkRing"], true);

const isFacts = (value: unknown): boolean =>
  isFields(value) &&
  are(value, "string", ["title", "signature", "kind"]) &&
  are(value, "boolean", ["cutShort"]) &&
  are(value, "string", ["release", "taint", "task"], true) &&
  are(value, "count", ["cpu", "pid"], true);
