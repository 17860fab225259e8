import { MemoryError, tryToRead } from "../../memory/errors.js";
import { type Hang, type HangLimits, HangRule, hangReport } from "../../memory/hangs/index.js";
import type { Kernel } from "../../memory/kernel/index.js";
import { KernelLog, type LogEntry } from "../../memory/log.js";
import { isGoingDown, panickedCpu } from "../../memory/system/identity.js";
import type { LogEvent } from "../../virtio/vhost-user/index.js";
import type { BootRecords } from "./boot-records.js";

/** How often it is looked whether the guest hangs. */
const HANG_LOOK_MS = 2000;
/** A guest gets on that wasn't seen to hang for so many times the limit. */
const CLEAR = 2;
/** A panic's log is whole when nothing was added to it for so long. */
const QUIET_MS = 1000;
/** What the store refuses is tried again after that time, then after twice as much, up to the other. */
const RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;

export interface WatchOptions {
  readonly records: BootRecords;
  /** Undefined: hangs aren't looked for. */
  readonly hangs: HangLimits | undefined;
  /** How long the host ran each CPU so far, in nanoseconds; empty where that isn't known. */
  readonly cpuTimes: () => ReadonlyMap<number, bigint>;
  readonly log: (level: LogEvent["level"], code: string, message: string) => void;
}

/** A panic, as far as it was read. Times are in milliseconds, as performance.now(). */
interface Panic {
  entries: readonly LogEntry[];
  /** When it is stored, unless more comes. */
  storeAt: number;
  retryMs: number;
  isStored: boolean;
}

/** Whether one boot of a guest panics, hangs or goes down. */
export class WatchedBoot {
  readonly #kernel: Kernel;
  readonly #options: WatchOptions;
  readonly #rule: HangRule | undefined;
  #panic: Panic | undefined;
  #isGoingDown = false;
  #hangLookAt = 0;
  /** When it was last seen to hang as it is stored; undefined while it gets on. */
  #hungAt: number | undefined;
  #hangRetry = { at: 0, ms: RETRY_MS };

  constructor(kernel: Kernel, options: WatchOptions) {
    this.#kernel = kernel;
    this.#options = options;
    this.#rule = options.hangs && new HangRule(options.hangs);
    // What another process that watched this boot has told isn't told again while it lasts.
    if (options.records.has("Hang")) this.#hungAt = performance.now();
  }

  /** A panic was just seen: the VMM may be about to end. */
  get isPanicking(): boolean {
    return this.#panic?.isStored === false && this.#panic.retryMs === RETRY_MS;
  }

  /** How it ended, as far as was seen; undefined where nothing was. */
  get end(): "dumped" | "stopped" | undefined {
    if (this.#panic?.isStored === true) return "dumped";
    return this.#isGoingDown ? "stopped" : undefined;
  }

  /** `hasGrown`: its log has since the last look. */
  look(hasGrown: boolean): void {
    tryToRead(() => {
      this.#isGoingDown = isGoingDown(this.#kernel);
    });
    this.#watchPanic(hasGrown);
    this.#watchHang();
  }

  /** Nothing more will be seen of it. */
  close(): void {
    if (this.#panic !== undefined) this.#storePanic(this.#panic);
  }

  #watchPanic(hasGrown: boolean): void {
    const now = performance.now();
    if (this.#panic === undefined) {
      if (tryToRead(() => panickedCpu(this.#kernel)) === undefined) return;
      this.#options.log("info", "PANIC", "the guest panics");
      this.#panic = { entries: [], storeAt: now, retryMs: RETRY_MS, isStored: false };
      hasGrown = true;
    }
    const panic = this.#panic;
    if (panic.isStored) return;
    if (hasGrown) {
      const entries = logOf(this.#kernel);
      if (entries.length > 0) panic.entries = entries;
      panic.storeAt = Math.max(panic.storeAt, now + QUIET_MS);
    }
    if (now >= panic.storeAt) this.#storePanic(panic);
  }

  #storePanic(panic: Panic): void {
    if (panic.isStored) return;
    const { records } = this.#options;
    panic.isStored =
      records.has("Panic") || records.dump("Panic", panic.entries, reportOf(this.#kernel, []));
    panic.retryMs = Math.min(2 * panic.retryMs, MAX_RETRY_MS);
    panic.storeAt = performance.now() + panic.retryMs;
  }

  /** A hang is told once, until the guest has got on for a while. */
  #watchHang(): void {
    const { hangs: limits, cpuTimes } = this.#options;
    const now = performance.now();
    if (limits === undefined || this.#rule === undefined || this.#panic !== undefined) return;
    if (now < this.#hangLookAt) return;
    this.#hangLookAt = now + HANG_LOOK_MS;
    const hangs = this.#rule.look(this.#kernel, cpuTimes());
    if (hangs.length === 0) {
      const isLong = now - (this.#hungAt ?? now) > Number(limits.blocked / 1_000_000n) * CLEAR;
      if (isLong) this.#hungAt = undefined;
    } else if (this.#hungAt !== undefined || this.#storeHang(hangs, now)) {
      this.#hungAt = now;
    }
  }

  #storeHang(hangs: readonly Hang[], now: number): boolean {
    const retry = this.#hangRetry;
    if (now < retry.at) return false;
    this.#options.log("warn", "HANG", "the guest hangs");
    const report = reportOf(this.#kernel, hangs);
    const isStored = this.#options.records.dump("Hang", logOf(this.#kernel), report);
    const ms = isStored ? RETRY_MS : Math.min(2 * retry.ms, MAX_RETRY_MS);
    this.#hangRetry = { at: isStored ? now : now + ms, ms };
    return isStored;
  }
}

/** As far as it can be read. */
function logOf(kernel: Kernel): LogEntry[] {
  kernel.budget.renew();
  const entries: LogEntry[] = [];
  tryToRead(() => {
    for (const entry of new KernelLog(kernel).entries()) {
      kernel.budget.keep("lost" in entry ? 0 : entry.text.length);
      entries.push(entry);
    }
  });
  return entries;
}

/** Up to where reading it took too much work. */
function reportOf(kernel: Kernel, hangs: readonly Hang[]): string[] {
  kernel.budget.renew();
  kernel.forget();
  const lines: string[] = [];
  try {
    for (const line of hangReport(kernel, hangs)) lines.push(line);
  } catch (error) {
    if (!(error instanceof MemoryError)) throw error;
    lines.push(`virtio-pstore: no more can be read: ${error.message}`);
  }
  return lines;
}
