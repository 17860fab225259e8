import { MemoryError, type MemoryErrorCode, tryToRead } from "../../memory/errors.js";
import { type HangLimits, HangRule, hangReport } from "../../memory/hangs/index.js";
import type { PhysicalMemory } from "../../memory/index.js";
import { type Kernel, openKernel } from "../../memory/kernel/index.js";
import { KernelLog, type LogEntry } from "../../memory/log.js";
import { LogFollower } from "../../memory/log-follower.js";
import type { VcpuThreads } from "../../memory/source/vcpu-threads.js";
import { isGoingDown, panickedCpu } from "../../memory/system/identity.js";
import type { EndKind } from "../../records/index.js";
import { type DirectoryStore, errorText } from "../../store/index.js";
import type { LogEvent } from "../../virtio/vhost-user/index.js";
import { BootRecords } from "./boot-records.js";

/** How often a Linux is looked for where there is none yet. */
const BOOT_MS = 1000;
/** How often it is looked whether the guest hangs. */
const HANG_LOOK_MS = 2000;
/** Nothing will be read any more. */
const FATAL: readonly MemoryErrorCode[] = ["ENDED", "NO_RIGHT"];
/** A guest gets on that wasn't seen to hang for so many times the limit. */
const CLEAR = 2;
/** A panic's log is whole when nothing was added to it for so long. */
const QUIET_MS = 1000;

export interface AttachedGuestOptions {
  /** Opens the guest's memory. Where it lies may only show when there is a Linux in it. Throws MemoryError. */
  readonly open: () => PhysicalMemory;
  /** The VMM's; undefined where only the memory is known: no hang of a CPU is told then. */
  readonly vcpus: VcpuThreads | undefined;
  readonly store: DirectoryStore;
  /** Undefined: hangs aren't looked for. */
  readonly hangs: HangLimits | undefined;
  readonly log: (event: LogEvent) => void;
}

/** A boot of the guest, as far as it was watched. */
interface Boot {
  readonly follower: LogFollower;
  kernel: Kernel;
  records: BootRecords;
  rule: HangRule | undefined;
  /** When it was last seen to hang as it is stored; undefined while it gets on. In milliseconds, as performance.now(). */
  hungAt: number | undefined;
  /** Its log at a panic, as far as it was read; what came last, and whether it is stored. */
  panic: { entries: readonly LogEntry[]; grewAt: number; isStored: boolean } | undefined;
  isGoingDown: boolean;
}

/** A guest that is watched from outside: its log becomes a console, its panics and hangs become crashes. */
export class AttachedGuest {
  readonly #options: AttachedGuestOptions;
  readonly #connectedMs = Date.now();
  #memory: PhysicalMemory;
  #boot: Boot | undefined;
  #lookAt = 0;
  #hangLookAt = 0;

  /** Throws MemoryError where there is no guest's memory. */
  constructor(options: AttachedGuestOptions) {
    this.#options = options;
    this.#memory = options.open();
  }

  /** Whether it panics now: the VMM may end soon. */
  get isPanicking(): boolean {
    return this.#boot?.panic?.isStored === false;
  }

  /** Takes what is new. Throws MemoryError where the memory can't be read any more. */
  poll(): void {
    const boot = this.#boot ?? this.#findBoot();
    if (boot === undefined) return;
    const { booted, entries } = boot.follower.poll();
    if (booted !== undefined) {
      this.#endBoot(boot);
      Object.assign(boot, this.#begin(boot.follower));
      this.#log("info", "BOOT", `the guest booted again: Linux ${booted}`);
    }
    boot.records.append(entries);
    tryToRead(() => {
      boot.isGoingDown = isGoingDown(boot.kernel);
    });
    this.#watchPanic(boot, entries.length > 0);
    this.#watchHang(boot);
  }

  /** The VMM has ended, or this process is told to: what was seen of a panic is stored, and how the guest ended. */
  end(hasEnded: boolean): void {
    const boot = this.#boot;
    if (boot !== undefined) this.#endBoot(boot);
    this.#memory.close();
    if (boot === undefined || !hasEnded) return;
    const kind: EndKind =
      boot.panic !== undefined ? "dumped" : boot.isGoingDown ? "stopped" : "without-dump";
    if (kind === "without-dump") {
      this.#log("warn", "NO_DUMP", "the VMM ended while the guest ran: no panic was seen");
    }
    const { store } = this.#options;
    try {
      store.noteEnd({
        ...{ kind, timeMs: Date.now(), connectedMs: this.#connectedMs },
        boot: boot.records.id,
      });
    } catch (error) {
      if (!(error instanceof Error && "errno" in error)) throw error;
      const why = errorText(store.directory, error);
      this.#log("warn", "STORE", `how the guest ended isn't kept: ${why}`);
    }
  }

  #findBoot(): Boot | undefined {
    if (performance.now() < this.#lookAt) return undefined;
    this.#lookAt = performance.now() + BOOT_MS;
    const memory = this.#memory;
    const follower = tryToRead(() => new LogFollower(memory, openKernel(memory)), FATAL);
    if (follower === undefined) {
      // A VMM that has just begun, or is about to end, may have none now.
      const anew = tryToRead(() => this.#options.open(), FATAL);
      if (anew === undefined) return undefined;
      this.#memory = anew;
      memory.close();
      return undefined;
    }
    this.#boot = { follower, ...this.#begin(follower) };
    this.#log("info", "ATTACHED", `Linux ${this.#boot.kernel.info.release} is watched`);
    return this.#boot;
  }

  #begin({ kernel }: LogFollower): Omit<Boot, "follower"> {
    const { store, hangs } = this.#options;
    const onError = (message: string) => {
      this.#log("error", "STORE", message);
    };
    const records = new BootRecords(store, kernel, onError);
    return {
      ...{ kernel, records, panic: undefined, isGoingDown: false },
      rule: hangs && new HangRule(hangs),
      // What was told by another process that watched this boot isn't told again while it lasts.
      hungAt: records.has("Hang") ? performance.now() : undefined,
    };
  }

  #endBoot(boot: Boot): void {
    if (boot.panic !== undefined) this.#storePanic(boot, boot.panic);
    this.#options.store.endBoot();
  }

  #watchPanic(boot: Boot, hasGrown: boolean): void {
    const { kernel } = boot;
    if (boot.panic === undefined) {
      if (tryToRead(() => panickedCpu(kernel)) === undefined) return;
      this.#log("info", "PANIC", "the guest panics");
    }
    const now = performance.now();
    if (boot.panic === undefined || (hasGrown && !boot.panic.isStored)) {
      const entries = tryToRead(() => logOf(kernel)) ?? boot.panic?.entries ?? [];
      boot.panic = { entries, grewAt: now, isStored: false };
    }
    if (now - boot.panic.grewAt >= QUIET_MS) this.#storePanic(boot, boot.panic);
  }

  #storePanic(boot: Boot, panic: NonNullable<Boot["panic"]>): void {
    if (panic.isStored) return;
    panic.grewAt = performance.now();
    panic.isStored =
      boot.records.has("Panic") ||
      boot.records.dump("Panic", panic.entries, reportOf(boot.kernel, []));
  }

  /** A hang is told once, until the guest has got on for a while. */
  #watchHang(boot: Boot): void {
    const { rule, kernel } = boot;
    const { hangs: limits } = this.#options;
    const now = performance.now();
    if (
      limits === undefined ||
      rule === undefined ||
      boot.panic !== undefined ||
      now < this.#hangLookAt
    )
      return;
    this.#hangLookAt = now + HANG_LOOK_MS;
    kernel.budget.renew();
    kernel.forget();
    const times = this.#options.vcpus?.times() ?? new Map<number, bigint>();
    const hangs = tryToRead(() => rule.look(kernel, times)) ?? [];
    kernel.notes.take();
    if (hangs.length === 0) {
      const isLong = now - (boot.hungAt ?? now) > Number(limits.blocked / 1_000_000n) * CLEAR;
      if (isLong) boot.hungAt = undefined;
      return;
    }
    if (boot.hungAt === undefined) {
      this.#log("warn", "HANG", "the guest hangs");
      const entries = tryToRead(() => logOf(kernel)) ?? [];
      if (!boot.records.dump("Hang", entries, reportOf(kernel, hangs))) return;
    }
    boot.hungAt = now;
  }

  #log(level: LogEvent["level"], code: string, message: string): void {
    this.#options.log({ level, code, message });
  }
}

function logOf(kernel: Kernel): LogEntry[] {
  kernel.budget.renew();
  return [...new KernelLog(kernel).entries()];
}

function reportOf(kernel: Kernel, hangs: Parameters<typeof hangReport>[1]): string[] {
  kernel.budget.renew();
  kernel.forget();
  try {
    return hangReport(kernel, hangs);
  } catch (error) {
    if (!(error instanceof MemoryError)) throw error;
    return [`virtio-pstore: no more can be read: ${error.message}`];
  }
}
