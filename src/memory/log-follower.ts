import { MemoryError, type MemoryErrorCode, tryToRead } from "./errors.js";
import { findInfos } from "./kernel/find-info.js";
import { Kernel } from "./kernel/index.js";
import { KernelLog, type LogEntry } from "./log.js";
import type { PhysicalMemory } from "./physical-memory.js";

/** Anything else isn't an error: the memory is another boot's when the guest has booted again. */
const FATAL: readonly MemoryErrorCode[] = ["ENDED", "NO_RIGHT"];

/** While log and clock stand, another boot is looked for: so much later at first, then twice as much each time. */
const LOOK_MS = 1000;
const MAX_LOOK_MS = 32_000;

/** The most messages of one poll; those that are left come with the next. */
const MAX_ENTRIES = 1 << 16;

interface Entries {
  /** The number of the first message that didn't come yet. */
  readonly end: bigint;
  readonly entries: readonly LogEntry[];
  /** Others are there already. */
  readonly isMore: boolean;
}

/** What came since the last poll. */
export interface Followed {
  /** Where the guest has booted again: its Linux's release. The entries are those of its new log, from the first. */
  readonly booted?: string;
  readonly entries: readonly LogEntry[];
  /** The next poll has more at once. */
  readonly isMore: boolean;
  /** The log isn't where it was: the guest was reset, and what lies there now is nothing of its kernel's. */
  readonly isGone: boolean;
  /** What couldn't be read, and why. */
  readonly notes: readonly string[];
}

/** A guest's log as it grows, from one boot to the next. */
export class LogFollower {
  readonly #memory: PhysicalMemory;
  /** VMCOREINFOs of boots that were there before: after a reset, a former boot's memory stays whole. */
  readonly #seen: Set<string>;
  readonly #most: number;
  #kernel: Kernel;
  #log: KernelLog;
  /** The number of the first message that isn't shown yet. */
  #next = 0n;
  #ticks: bigint | undefined;
  #wait = LOOK_MS;
  #lookAt = performance.now() + LOOK_MS;
  #bootedAt = Number.NEGATIVE_INFINITY;

  /** `kernel` is one in `memory`. A poll has `most` messages. Throws MemoryError where its log can't be read. */
  constructor(memory: PhysicalMemory, kernel: Kernel, most = MAX_ENTRIES) {
    this.#memory = memory;
    this.#most = most;
    this.#kernel = kernel;
    this.#log = new KernelLog(kernel);
    this.#seen = new Set(findInfos(memory).map(({ info }) => info.text));
  }

  /** The Linux whose log it is: another one behind a new boot. */
  get kernel(): Kernel {
    return this.#kernel;
  }

  /** Throws MemoryError where the memory itself can't be read any more. */
  poll(): Followed {
    const followed = this.#poll();
    return { ...followed, notes: this.#kernel.notes.take() };
  }

  #poll(): Omit<Followed, "notes"> {
    this.#kernel.budget.renew();
    const next = this.#next;
    const read = tryToRead(() => this.#entriesFrom(this.#kernel, this.#log, next), FATAL);
    if (read !== undefined && read.end > next) {
      this.#next = read.end;
      // A guest that boots again and again isn't looked into more often.
      if (performance.now() - this.#bootedAt > MAX_LOOK_MS) this.#wait = LOOK_MS;
      this.#lookAt = performance.now() + this.#wait;
      return { entries: read.entries, isMore: read.isMore, isGone: false };
    }
    const isGone = read === undefined || read.end < next;
    if (this.#mayHaveBooted(isGone)) return this.#newBoot(isGone);
    return { entries: [], isMore: false, isGone };
  }

  /** Only a step back is a new boot for sure; mostly KASLR puts the next kernel elsewhere, and the log just stands. */
  #mayHaveBooted(isGone: boolean): boolean {
    if (performance.now() < this.#lookAt) return false;
    const clock = this.#kernel.symbols?.address("jiffies_64");
    const ticks = clock === undefined ? undefined : tryToRead(() => this.#kernel.u64(clock), FATAL);
    const stands = isGone || ticks === this.#ticks;
    this.#ticks = ticks;
    this.#wait = stands ? Math.min(this.#wait * 2, MAX_LOOK_MS) : LOOK_MS;
    this.#lookAt = performance.now() + this.#wait;
    return stands;
  }

  #newBoot(isGone: boolean): Omit<Followed, "notes"> {
    const found = findInfos(this.#memory);
    const other =
      found.find(({ info }) => !this.#seen.has(info.text)) ??
      // KASLR is off, or put it at the same place again.
      (isGone ? found.find(({ info }) => info.text === this.#kernel.info.text) : undefined);
    const booted = tryToRead(() => {
      if (other === undefined) return undefined;
      const kernel = new Kernel(this.#memory, other);
      const log = new KernelLog(kernel);
      return { kernel, log, ...this.#entriesFrom(kernel, log, 0n) };
    }, FATAL);
    if (booted === undefined) return { entries: [], isMore: false, isGone };
    this.#kernel = booted.kernel;
    this.#log = booted.log;
    this.#next = booted.end;
    this.#bootedAt = performance.now();
    this.#seen.clear();
    for (const { info } of found) this.#seen.add(info.text);
    const { entries, isMore } = booted;
    return { booted: booted.kernel.info.release, entries, isMore, isGone: false };
  }

  /** What takes too much work is read up to there. */
  #entriesFrom(kernel: Kernel, log: KernelLog, next: bigint): Entries {
    const { end } = log;
    const entries: LogEntry[] = [];
    if (end <= next) return { end, entries, isMore: false };
    try {
      for (const entry of log.entries(next, end)) {
        kernel.budget.keep("lost" in entry ? 0 : entry.text.length);
        entries.push(entry);
        if (entries.length === this.#most) break;
      }
    } catch (error) {
      const isTooMuch = error instanceof MemoryError && error.code === "TOO_MUCH";
      if (!isTooMuch || entries.length === 0) throw error;
    }
    const last = entries.at(-1);
    const after = last === undefined ? end : last.seq + BigInt("lost" in last ? last.lost : 1);
    return { end: after, entries, isMore: after < end };
  }
}
