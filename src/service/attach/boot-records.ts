import { findRecords, findStreams, readHeader } from "../../analysis/index.js";
import type { Kernel } from "../../memory/kernel/index.js";
import { type LogEntry, logText } from "../../memory/log.js";
import { crypto } from "../../os/builtins.js";
import type { RecordHeader } from "../../records/dump-header.js";
import { missingNote, note, notedText } from "../../records/note.js";
import { type DirectoryStore, errorText, RefusedError } from "../../store/index.js";

/** A guest's log may be as long; of a longer one the end counts. */
const MAX_LOG_BYTES = 64 << 20;

/** Of the console that is there: it ends with a line whose time tells where to go on. */
const TAIL_BYTES = 64 << 10;

/** A line of the kernel's log: its time, in microseconds since boot. */
const LINE = /^(?:<[0-9]{1,5}>)?\[ {0,12}([0-9]{1,12})\.([0-9]{6})\]/;

export type DumpReason = "Panic" | "Hang";

/** What goes into the store of one boot of a guest. */
export class BootRecords {
  /** 32 hexadecimal digits: the same for the same boot, be it watched by another process. */
  readonly id: string;
  readonly #store: DirectoryStore;
  readonly #onError: (message: string) => void;
  /** Messages up to here are in the console already, in nanoseconds since boot; -1: none. */
  readonly #storedUntil: bigint;
  /** The first message that isn't there yet has come. */
  #isFresh = false;

  /** Throws MemoryError. */
  constructor(store: DirectoryStore, kernel: Kernel, onError: (message: string) => void) {
    this.#store = store;
    this.#onError = onError;
    this.id = bootId(kernel);
    this.#storedUntil = lastTime(store.directory, this.id);
    this.#try(() => {
      store.beginBoot(this.id);
    });
  }

  /** Appends to the boot's console what isn't there yet. */
  append(entries: readonly LogEntry[]): void {
    const text = [...(this.#isFresh ? logText(entries) : this.#firstText(entries))];
    const data = [...notedText(text)];
    if (data.length === 0) return;
    this.#try(() => {
      this.#store.append("console", [Buffer.concat(data)]);
    });
  }

  /** What came before the first message that is there, or while nobody watched, is said to be missing. */
  *#firstText(entries: readonly LogEntry[]): Generator<Buffer | string, void, void> {
    const first = entries.findIndex(
      (entry) => !("lost" in entry) && entry.nanoseconds > this.#storedUntil,
    );
    const entry = entries[first];
    if (entry === undefined) return;
    this.#isFresh = true;
    if (first === 0 && entry.seq > 0n) {
      const isNew = this.#storedUntil < 0n;
      yield note(isNew ? `${entry.seq} messages lost` : "messages may be missing: nobody watched");
    }
    yield* logText(entries.slice(first));
  }

  /** Whether the store has such a record of this boot, be it of another process that watched it. */
  has(reason: DumpReason): boolean {
    return this.#stored.some((header) => header.reason === reason);
  }

  /** Stores a record of the log, with `report` behind it. Returns whether it is durable. */
  dump(reason: DumpReason, entries: readonly LogEntry[], report: readonly string[]): boolean {
    const count = Math.max(0, ...this.#stored.map((header) => header.count)) + 1;
    const header = `${reason}#${count} Part1 boot=${this.id} oldest-first last\n`;
    const lines = report.map((line) => `${prefix(entries)}${line}\n`);
    const text = [Buffer.from(header), ...lastOf(entries), Buffer.from(lines.join(""))];
    let result = 0;
    const isTaken = this.#try(() => {
      this.#store.write("dmesg", false, text);
      this.#store.commit(({ writes }) => {
        result = writes[0] ?? 0;
      });
    });
    if (result !== 0) this.#onError(errorText(this.#store.directory, result));
    return isTaken && result === 0;
  }

  /** The headers of this boot's dumps; none where the directory can't be read, which the store tells when it writes. */
  get #stored(): RecordHeader[] {
    try {
      return findRecords(this.#store.directory).flatMap((record) => {
        const header = record.type === "dmesg" ? readHeader(record).header : undefined;
        return header?.boot === this.id ? [header] : [];
      });
    } catch (error) {
      if (!(error instanceof Error && "errno" in error)) throw error;
      return [];
    }
  }

  /** The store itself tells what it refuses. */
  #try(action: () => unknown): boolean {
    try {
      action();
      return true;
    } catch (error) {
      if (!(error instanceof Error && "errno" in error)) throw error;
      if (!(error instanceof RefusedError)) {
        this.#onError(errorText(this.#store.directory, error));
      }
      return false;
    }
  }
}

/** Lines of ours are an alert of the moment in which the log ends. */
function prefix(entries: readonly LogEntry[]): string {
  const last = entries.findLast((entry) => !("lost" in entry));
  const time = last === undefined || "lost" in last ? 0n : last.nanoseconds / 1000n;
  const seconds = `${time / 1_000_000n}`.padStart(5);
  return `<1>[${seconds}.${`${time % 1_000_000n}`.padStart(6, "0")}] `;
}

/** The end of the log, as far as a record may be long. */
function lastOf(entries: readonly LogEntry[]): Buffer[] {
  const log = [...notedText(logText(entries))];
  let bytes = log.reduce((sum, { length }) => sum + length, 0);
  if (bytes <= MAX_LOG_BYTES) return log;
  const all = bytes;
  let first = 0;
  for (; bytes > MAX_LOG_BYTES; first++) bytes -= log[first]?.length ?? bytes;
  return [Buffer.from(missingNote(all - bytes)), ...log.slice(first)];
}

/**
 * Nothing that a kernel chooses anew at each boot is told to all; its canary doesn't follow from a hash. A boot of a
 * kernel that doesn't tell its canary is another one to the next process that watches it.
 */
function bootId(kernel: Kernel): string {
  const canary = kernel.attempt("its boot", () => {
    const init = kernel.structAt("task_struct", "init_task");
    return init.has("stack_canary") ? init.u64("stack_canary") : 0n;
  });
  const { createHash, randomBytes } = crypto();
  if (canary === undefined || canary === 0n) return randomBytes(16).toString("hex");
  return createHash("sha256").update(`${kernel.info.text}\n${canary}`).digest("hex").slice(0, 32);
}

/** The time of the last message in the console of a boot; -1 where there is none. In nanoseconds since boot. */
function lastTime(directory: string, boot: string): bigint {
  const stream = findStreams(findRecords(directory), "console").findLast(
    (one) => one.boot === boot,
  );
  const last = stream?.records.at(-1);
  if (last === undefined) return -1n;
  const tail = Buffer.concat([
    ...last.source.read(last, Math.max(0, last.size - TAIL_BYTES), last.size),
  ]);
  const times = tail
    .toString("latin1")
    .split("\n")
    .flatMap((line) => {
      const [, seconds, microseconds] = LINE.exec(line) ?? [];
      if (seconds === undefined || microseconds === undefined) return [];
      return [BigInt(seconds) * 1_000_000_000n + BigInt(microseconds) * 1000n + 999n];
    });
  return times.at(-1) ?? -1n;
}
