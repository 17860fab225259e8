import { MemoryError } from "../errors.js";
import type { Kernel, Struct } from "../kernel/index.js";
import { readCommandLine } from "./command-line.js";
import type { RunQueues } from "./run-queues.js";
import { isBlocked, isKillable, stateLetter } from "./task-state.js";

/** Flags of a task: macros of the kernel's source (include/linux/sched.h). */
const PF_WQ_WORKER = 0x20;
const PF_KTHREAD = 0x200000;

/** Names of kernel threads that are longer are none. */
const MAX_NAME_BYTES = 256;

/** A task: a process's thread, or one of the kernel's. */
export class Task {
  readonly kernel: Kernel;
  /** Its task_struct. */
  readonly struct: Struct;
  readonly #queues: RunQueues;

  /** `queues` tell whether it runs, and for how long not. */
  constructor(kernel: Kernel, struct: Struct, queues: RunQueues) {
    this.kernel = kernel;
    this.struct = struct;
    this.#queues = queues;
  }

  get pid(): number {
    return this.struct.number("pid");
  }

  /** The process's number: that of its first thread. */
  get tgid(): number {
    return this.struct.number("tgid");
  }

  /** As /proc/PID/stat shows it: R, S, D, T, t, X, Z, P or I. */
  get state(): string {
    return stateLetter(this.#state, this.#exitState);
  }

  /** Whether it waits for something that no signal ends, or only a deadly one; neither frozen, nor idle, nor parked. */
  get isBlocked(): boolean {
    return isBlocked(this.#state, this.#exitState);
  }

  /** Whether a deadly signal ends its wait. */
  get isKillable(): boolean {
    return isKillable(this.#state);
  }

  /** The CPU that it runs on, or did last. */
  get cpu(): number {
    return this.struct.number(this.struct.has("thread_info.cpu") ? "thread_info.cpu" : "cpu");
  }

  /** Whether a CPU runs it. */
  get isRunning(): boolean {
    return this.#queues.isRunning(this.struct.address);
  }

  /** The task's own name, at most 15 bytes. */
  get comm(): string {
    return this.struct.text("comm");
  }

  /** As ps shows it: a kernel thread's whole name, and with a worker's what it works on (+), or did last (-). */
  get name(): string {
    if (!this.isKernelThread) return this.comm;
    try {
      return this.#threadName();
    } catch (error) {
      if (error instanceof MemoryError && error.code !== "TOO_MUCH") return this.comm;
      throw error;
    }
  }

  get isKernelThread(): boolean {
    return (this.#flags & PF_KTHREAD) !== 0;
  }

  /** What the process was started with; undefined where it has none, or where its memory isn't there. */
  get commandLine(): string | undefined {
    return readCommandLine(this.kernel, this.struct);
  }

  /** For how long it hasn't run, in ns, as far as the CPUs' clocks tell; undefined while it runs, or never did. */
  get notRunFor(): bigint | undefined {
    const last = this.struct.u64("se.exec_start");
    if (last === 0n || this.isRunning) return undefined;
    const own = this.#queues.of(this.cpu);
    // A CPU's time that tasks didn't get isn't in the tasks' clock.
    const behind = own === undefined ? 0n : own.clock - own.taskClock;
    const time = this.#queues.latestClock - behind - last;
    return time > 0n ? time : 0n;
  }

  get #flags(): number {
    return this.struct.number("flags");
  }

  /** The member was called `state` until Linux 5.14. */
  get #state(): number {
    return this.struct.number(this.struct.has("__state") ? "__state" : "state");
  }

  get #exitState(): number {
    return this.struct.number("exit_state");
  }

  /** Its struct worker; undefined where it is no workqueue's. */
  get worker(): Struct | undefined {
    const data = (this.#flags & PF_WQ_WORKER) === 0 ? 0n : (this.#thread?.pointer("data") ?? 0n);
    return data === 0n ? undefined : this.kernel.struct("worker", data);
  }

  /** A kernel thread's struct kthread. */
  get #thread(): Struct | undefined {
    const { kernel, struct } = this;
    const private_ = struct.has("worker_private") ? struct.pointer("worker_private") : 0n;
    return private_ === 0n ? undefined : kernel.struct("kthread", private_);
  }

  #threadName(): string {
    const thread = this.#thread;
    const whole = thread?.has("full_name") === true ? thread.pointer("full_name") : 0n;
    const name = whole === 0n ? this.comm : this.kernel.text(whole, MAX_NAME_BYTES);
    const worker = this.worker;
    const work = worker?.text("desc") ?? "";
    if (worker === undefined || work === "" || worker.pointer("pool") === 0n) return name;
    return `${name}${worker.pointer("current_work") === 0n ? "-" : "+"}${work}`;
  }
}
