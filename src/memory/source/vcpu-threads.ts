import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { MemoryError } from "../errors.js";

/** How VMMs name a vCPU's thread: QEMU `CPU 1/KVM`, cloud-hypervisor `vcpu1`, Firecracker `fc_vcpu 1`, kvmtool `kvm-vcpu-1`, crosvm `crosvm_vcpu1`. */
const NAME = /^(?:CPU |vcpu|fc_vcpu |kvm-vcpu-|crosvm_vcpu)([0-9]{1,4})(?:\/\w{1,8})?$/;

/** The threads of a VMM's process that run its guest's CPUs. */
export class VcpuThreads {
  /** Of /proc/PID: another process that gets the same number isn't behind it. */
  readonly #fd: number;

  /** Throws MemoryError where there is no such process. */
  constructor(pid: number) {
    try {
      this.#fd = openSync(`/proc/${pid}`, "r");
    } catch {
      throw new MemoryError("ENDED", `there is no process ${pid}`);
    }
  }

  /** How long each CPU ran so far, in nanoseconds; empty where the VMM gives its threads other names, or has ended. */
  times(): Map<number, bigint> {
    const times = new Map<number, bigint>();
    for (const thread of this.#read(() => readdirSync(this.#path("task"))) ?? []) {
      const name = this.#text(`task/${thread}/comm`)?.trimEnd() ?? "";
      const [, cpu] = NAME.exec(name) ?? [];
      // Its first number (Documentation/scheduler/sched-stats.rst).
      const [, time] = /^([0-9]{1,19}) /.exec(this.#text(`task/${thread}/schedstat`) ?? "") ?? [];
      if (cpu !== undefined && time !== undefined) times.set(Number(cpu), BigInt(time));
    }
    return times;
  }

  /** A process that nobody has waited for yet has ended, too. */
  get hasEnded(): boolean {
    return !/\) [^ZX] /.test(this.#text("stat") ?? "");
  }

  close(): void {
    closeSync(this.#fd);
  }

  #path(name: string): string {
    return `/proc/self/fd/${this.#fd}/${name}`;
  }

  #text(name: string): string | undefined {
    return this.#read(() => readFileSync(this.#path(name), "latin1"));
  }

  /** A thread may end while the others are read. */
  #read<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch {
      return undefined;
    }
  }
}
