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
import { readText } from "../records/read-lines.js";
import { keyOf, type RecordEntry } from "../records/record.js";
import { version } from "../version.js";
import type { CrashFacts } from "./crashes.js";
import type { HeadedRecord } from "./decode.js";
import { REVISION } from "./title/revision.js";

/** What was read of a record before; of a dump's first one also what its log says. */
interface Line {
  readonly name: string;
  /** The line counts only for a record of this size and time. */
  readonly size: number;
  readonly timeMs: number;
  /** Undefined where nobody can read it: trying again takes long, and a guest may have sent many. */
  readonly header: RecordHeader | undefined;
  readonly headerBytes: number;
  /** Of a dump with several parts the keys of all: facts hold for these and no others. */
  readonly parts?: readonly string[];
  readonly facts?: CrashFacts;
}

const INDEX_NAME = ".index";

/** Work of so long is kept also where somebody ends it before its end. */
const SAVE_MS = 5000;

/** Of a file that is being written; so old, it is that of a process that died. */
const STALE_MS = 60_000;

/** Lines of many times as many records as a directory has: a longer file isn't read. */
const MAX_INDEX_BYTES = 64 << 20;

/** The first line. Of another version or revision nothing is taken: logs may have been understood differently. */
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

  /** A dump's record, itself with its header, for which `read` is called where it isn't known. */
  headed(record: RecordEntry, read: (record: RecordEntry) => HeadedRecord): HeadedRecord {
    const { name, size, time } = record;
    const known = this.#seen.get(name) ?? this.#known.get(name);
    if (known !== undefined && isOf(known, record)) {
      this.#seen.set(name, known);
      const { header, headerBytes } = known;
      // Thousands of these are asked for: a copy with more properties takes ten times as long.
      return Object.assign(record, { header, headerBytes });
    }
    const headed = read(record);
    const { header, headerBytes } = headed;
    this.#note({ name, size, timeMs: time.getTime(), header, headerBytes });
    return headed;
  }

  /** What the log in a dump's parts says, for which `read` is called where it isn't known. */
  facts(
    records: readonly RecordEntry[],
    read: () => { readonly facts: CrashFacts; readonly unread: boolean },
  ): CrashFacts {
    const [first] = records;
    const line = first && this.#lineOf(first);
    const parts = records.length > 1 ? records.map(keyOf) : undefined;
    if (line?.facts !== undefined && line.parts?.join() === parts?.join()) return line.facts;
    const { facts, unread } = read();
    if (!unread && line !== undefined && records.every((one) => this.#lineOf(one) !== undefined)) {
      const { parts: _, ...of } = line;
      this.#note(parts === undefined ? { ...of, facts } : { ...of, parts, facts });
    }
    return facts;
  }

  /** Writes what is new, where that is possible. Records that weren't asked for since the last time are forgotten. */
  save(): void {
    this.#known = this.#seen;
    this.#seen = new Map();
    this.#write(this.#known);
  }

  #lineOf(record: RecordEntry): Line | undefined {
    const line = this.#seen.get(record.name);
    return line !== undefined && isOf(line, record) ? line : undefined;
  }

  #note(line: Line): void {
    this.#seen.set(line.name, line);
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
      writeFileSync(fd, `[${lines.join(",\n")}]\n`);
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

const isOf = (line: Line, { size, time }: RecordEntry): boolean =>
  line.size === size && line.timeMs === time.getTime();

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
  for (const line of linesOf(path)) if (isLine(line)) known.set(line.name, line);
  return known;
}

/** All at once, which takes a third of the time; of a damaged file none. */
function linesOf(path: string): unknown[] {
  try {
    const text = readText(path, MAX_INDEX_BYTES);
    return text.startsWith(`[${HEAD},\n`) ? (JSON.parse(text) as unknown[]) : [];
  } catch {
    return [];
  }
}

type Fields<T> = { readonly [K in keyof T]?: unknown };

const isFields = (value: unknown): value is object => typeof value === "object" && value !== null;

const isText = (value: unknown): boolean => typeof value === "string";
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;
const isFlag = (value: unknown): boolean => typeof value === "boolean";
const isMissingOr = (is: (value: unknown) => boolean, value: unknown): boolean =>
  value === undefined || is(value);

function isLine(value: unknown): value is Line {
  if (!isFields(value)) return false;
  const { name, size, timeMs, header, headerBytes, parts, facts }: Fields<Line> = value;
  return (
    isText(name) &&
    isCount(size) &&
    Number.isSafeInteger(timeMs) &&
    isCount(headerBytes) &&
    isMissingOr(isHeader, header) &&
    (parts === undefined || (Array.isArray(parts) && parts.every(isText))) &&
    isMissingOr(isFacts, facts)
  );
}

function isHeader(value: unknown): boolean {
  if (!isFields(value)) return false;
  const header: Fields<RecordHeader> = value;
  const { reason, boot, guestTime } = header;
  return (
    isLike(HEADER_TEXTS.reason, reason) &&
    (boot === undefined || isLike(HEADER_TEXTS.boot, boot)) &&
    (guestTime === undefined || isLike(HEADER_TEXTS.guestTime, guestTime)) &&
    isCount(header.count) &&
    isCount(header.part) &&
    isMissingOr(isFlag, header.oldestFirst) &&
    isMissingOr(isFlag, header.last) &&
    isMissingOr(isFlag, header.printkRing)
  );
}

const isLike = (pattern: RegExp, value: unknown): boolean =>
  typeof value === "string" && pattern.test(value);

function isFacts(value: unknown): boolean {
  if (!isFields(value)) return false;
  const { title, signature, kind, cutShort, release, taint, task, cpu, pid }: Fields<CrashFacts> =
    value;
  return (
    isText(title) &&
    isText(signature) &&
    isText(kind) &&
    isFlag(cutShort) &&
    isMissingOr(isText, release) &&
    isMissingOr(isText, taint) &&
    isMissingOr(isText, task) &&
    isMissingOr(isCount, cpu) &&
    isMissingOr(isCount, pid)
  );
}
