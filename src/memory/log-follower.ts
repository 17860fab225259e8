import { type MemoryErrorCode, tryToRead } from "./errors.js";
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
}

/** What came since the last poll. */
export interface Followed {
  /** Where the guest has booted again: its Linux's release. The entries are those of its new log, from the first. */
  readonly booted?: string;
  readonly entries: readonly LogEntry[];
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
    const read = tryToRead(() => this.#entriesFrom(this.#log, next), FATAL);
    if (read !== undefined && read.end > next) {
      this.#next = read.end;
      this.#wait = LOOK_MS;
      this.#lookAt = performance.now() + LOOK_MS;
      return { entries: read.entries };
    }
    const isOver = read === undefined || read.end < next;
    return this.#mayHaveBooted(isOver) ? this.#newBoot(isOver) : { entries: [] };
  }

  /** Only a step back is a new boot for sure; mostly KASLR puts the next kernel elsewhere, and the log just stands. */
  #mayHaveBooted(isOver: boolean): boolean {
    if (performance.now() < this.#lookAt) return false;
    const clock = this.#kernel.symbols?.address("jiffies_64");
    const ticks = clock === undefined ? undefined : tryToRead(() => this.#kernel.u64(clock), FATAL);
    const stands = isOver || ticks === this.#ticks;
    this.#ticks = ticks;
    this.#wait = stands ? Math.min(this.#wait * 2, MAX_LOOK_MS) : LOOK_MS;
    this.#lookAt = performance.now() + this.#wait;
    return stands;
  }

  #newBoot(isOver: boolean): Omit<Followed, "notes"> {
    const found = findInfos(this.#memory);
    const other =
      found.find(({ info }) => !this.#seen.has(info.text)) ??
      // KASLR is off, or put it at the same place again.
      (isOver ? found.find(({ info }) => info.text === this.#kernel.info.text) : undefined);
    const booted = tryToRead(() => {
      if (other === undefined) return undefined;
      const kernel = new Kernel(this.#memory, other);
      const log = new KernelLog(kernel);
      return { kernel, log, ...this.#entriesFrom(log, 0n) };
    }, FATAL);
    if (booted === undefined) return { entries: [] };
    this.#kernel = booted.kernel;
    this.#log = booted.log;
    this.#next = booted.end;
    for (const { info } of found) this.#seen.add(info.text);
    return { booted: booted.kernel.info.release, entries: booted.entries };
  }

  #entriesFrom(log: KernelLog, next: bigint): Entries {
    const { end } = log;
    const entries: LogEntry[] = [];
    if (end <= next) return { end, entries };
    for (const entry of log.entries(next, end)) {
      entries.push(entry);
      if (entries.length < this.#most) continue;
      return { end: entry.seq + BigInt("lost" in entry ? entry.lost : 1), entries };
    }
    return { end, entries };
  }
}
