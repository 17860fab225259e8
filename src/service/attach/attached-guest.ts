import { MemoryError, type MemoryErrorCode, tryToRead } from "../../memory/errors.js";
import type { HangLimits } from "../../memory/hangs/index.js";
import type { PhysicalMemory } from "../../memory/index.js";
import { type Kernel, openKernel } from "../../memory/kernel/index.js";
import { LogFollower } from "../../memory/log-follower.js";
import type { VcpuThreads } from "../../memory/source/vcpu-threads.js";
import type { EndKind } from "../../records/index.js";
import { type DirectoryStore, errorText } from "../../store/index.js";
import type { LogEvent } from "../../virtio/vhost-user/index.js";
import { BootRecords } from "./boot-records.js";
import { WatchedBoot } from "./watched-boot.js";

/** A Linux is looked for so soon where there is none yet, then after twice as much each time. */
const BOOT_MS = 1000;
const MAX_BOOT_MS = 32_000;

/** Nothing will be read any more. */
const FATAL: readonly MemoryErrorCode[] = ["ENDED", "NO_RIGHT"];

export interface AttachedGuestOptions {
  readonly memory: PhysicalMemory;
  /** Opens it anew: where it lies may only show when there is a Linux in it. Throws MemoryError. */
  readonly open: () => PhysicalMemory;
  /** The VMM's; undefined where only the memory is known: no hang of a CPU is told then. */
  readonly vcpus: VcpuThreads | undefined;
  readonly store: DirectoryStore;
  /** Undefined: hangs aren't looked for. */
  readonly hangs: HangLimits | undefined;
  readonly log: (event: LogEvent) => void;
}

/** Why a guest isn't watched any more. */
export type WatchEnd =
  /** This process was told to end. */
  | "stopped"
  /** The VMM ended, and its guest's memory was read behind that. */
  | "ended"
  /** The memory went with the VMM. */
  | "lost";

/** A boot of the guest, as far as it was watched. */
interface Boot {
  readonly records: BootRecords;
  readonly watched: WatchedBoot;
}

/** A guest that is watched from outside: its log becomes a console, its panics and hangs become crashes. */
export class AttachedGuest {
  readonly #options: AttachedGuestOptions;
  readonly #connectedMs = Date.now();
  #memory: PhysicalMemory;
  #follower: LogFollower | undefined;
  #boot: Boot | undefined;
  #lookAt = 0;
  #wait = BOOT_MS;

  constructor(options: AttachedGuestOptions) {
    this.#options = options;
    this.#memory = options.memory;
  }

  /** A panic was just seen: the VMM may be about to end. */
  get isPanicking(): boolean {
    return this.#boot?.watched.isPanicking === true;
  }

  /** Takes what is new; true where there is more. Throws MemoryError where the memory can't be read any more. */
  poll(): boolean {
    const follower = this.#follower ?? this.#findLinux();
    if (follower === undefined) return false;
    const { booted, entries, isGone, isMore } = follower.poll();
    if (booted !== undefined || this.#boot === undefined) {
      this.#endBoot();
      this.#boot = this.#begin(follower.kernel);
    }
    if (booted !== undefined) this.#log("info", "BOOT", `the guest booted again: Linux ${booted}`);
    this.#boot.records.append(entries);
    // What lies there now isn't the kernel's any more: it may look like anything.
    if (!isGone) this.#boot.watched.look(entries.length > 0);
    return isMore;
  }

  /** What was seen of a panic is stored, and how the guest ended. */
  end(end: WatchEnd): void {
    const boot = this.#boot;
    this.#endBoot();
    this.#memory.close();
    if (boot === undefined || end === "stopped") return;
    const kind: EndKind = boot.watched.end ?? (end === "ended" ? "without-dump" : "unknown");
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

  #findLinux(): LogFollower | undefined {
    if (performance.now() < this.#lookAt) return undefined;
    const memory = this.#memory;
    this.#follower = tryToRead(() => new LogFollower(memory, openKernel(memory)), FATAL);
    if (this.#follower !== undefined) {
      this.#tellAttached(this.#follower.kernel);
      return this.#follower;
    }
    if (this.#lookAt === 0) this.#log("info", "NO_LINUX", "no Linux is in it yet: looking on");
    this.#lookAt = performance.now() + this.#wait;
    this.#wait = Math.min(2 * this.#wait, MAX_BOOT_MS);
    // A VMM that has just begun, or is about to end, may have none now.
    const anew = tryToRead(() => this.#options.open(), FATAL);
    if (anew === undefined) return undefined;
    this.#memory = anew;
    memory.close();
    return undefined;
  }

  /** What can't be watched is said at once. */
  #tellAttached(kernel: Kernel): void {
    this.#log("info", "ATTACHED", `Linux ${kernel.info.release} is watched`);
    if (kernel.symbols?.address("panic_cpu") === undefined) {
      this.#log(
        "warn",
        "NO_PANICS",
        "the kernel doesn't tell where its variables are (CONFIG_KALLSYMS_ALL): no panic will be seen",
      );
    }
    const { hangs, vcpus } = this.#options;
    if (hangs === undefined) return;
    if (kernel.types === undefined) {
      this.#log(
        "warn",
        "NO_HANGS",
        "the kernel doesn't describe its types (CONFIG_DEBUG_INFO_BTF): no hang will be seen",
      );
    } else if (vcpus === undefined || vcpus.times().size === 0) {
      const why =
        vcpus === undefined
          ? "the VMM's process isn't known (--pid)"
          : "no thread of the VMM has a CPU's name (QEMU before 10.2: -name debug-threads=on)";
      this.#log("warn", "NO_CPUS", `${why}: no hang of a CPU will be seen`);
    }
  }

  #begin(kernel: Kernel): Boot {
    const { store, hangs, vcpus } = this.#options;
    const records = new BootRecords(store, kernel, (message) => {
      this.#log("error", "STORE", message);
    });
    const log = this.#log.bind(this);
    const cpuTimes = () => vcpus?.times() ?? new Map<number, bigint>();
    return { records, watched: new WatchedBoot(kernel, { records, hangs, cpuTimes, log }) };
  }

  #endBoot(): void {
    if (this.#boot === undefined) return;
    try {
      this.#boot.watched.close();
    } catch (error) {
      if (!(error instanceof MemoryError)) throw error;
    }
    this.#options.store.endBoot();
    this.#boot = undefined;
  }

  #log(level: LogEvent["level"], code: string, message: string): void {
    this.#options.log({ level, code, message });
  }
}
