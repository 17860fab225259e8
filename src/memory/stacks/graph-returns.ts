import type { Kernel } from "../kernel/index.js";
import type { Task } from "../tasks/index.js";

/** What a task's stack of traced functions has at most (kernel/trace/fgraph.c). */
const STACK_BYTES = 4096;

/** What looking through it costs, in units of the budget. */
const WORK_PER_RETURN = 10;

const WORD = 8;

/** The return addresses that the function graph tracer replaced by its own. */
export class GraphReturns {
  readonly #kernel: Kernel;
  readonly #handler: bigint | undefined;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#handler = kernel.symbols?.address("return_to_handler");
  }

  /** What was at `at` on the task's stack; the tracer's own where that isn't to be found. */
  original(task: Task, address: bigint, at: bigint): bigint {
    if (address !== this.#handler) return address;
    return this.#kernel.attempt("a traced return address", () => this.#find(task, at)) ?? address;
  }

  /** Entries are of several kinds and sizes since Linux 6.10: the one that names `at` is looked for at every word. */
  #find({ struct }: Task, at: bigint): bigint | undefined {
    const base = struct.has("ret_stack") ? struct.pointer("ret_stack") : 0n;
    const type = this.#kernel.types?.struct("ftrace_ret_stack");
    if (base === 0n || type === undefined || !type.has("retp")) return undefined;
    this.#kernel.budget.spend(WORK_PER_RETURN);
    const bytes = this.#kernel.read(base, STACK_BYTES);
    const [retp, ret] = [type.offset("retp"), type.offset("ret")];
    for (let entry = 0; entry + type.size <= bytes.length; entry += WORD) {
      if (bytes.readBigUInt64LE(entry + retp) === at) return bytes.readBigUInt64LE(entry + ret);
    }
    return undefined;
  }
}
