import { MemoryError } from "../errors.js";
import type { Kernel } from "../kernel/index.js";

/** include/linux/threads.h, on 64 bits; the table is indexed by what is left of a pid. */
const PID_MAX_DEFAULT = 32768;

/** saved_cmdlines_size may be set to PID_MAX_LIMIT. */
const MAX_SAVED = 4 << 20;

/** TASK_COMM_LEN is 16. */
const MAX_NAME_BYTES = 64;

/** The names of tasks that ftrace has saved (saved_cmdlines in tracefs). */
export class Cmdlines {
  readonly #names = new Map<number, string>();

  /** Names that can't be read are noted and left out. */
  constructor(kernel: Kernel) {
    kernel.attempt("saved_cmdlines", () => this.#read(kernel));
  }

  /** As the kernel's trace_find_cmdline(): `<...>` where none was saved. */
  name(pid: number): string {
    if (pid === 0) return "<idle>";
    if (pid < 0) return "<XXX>";
    return this.#names.get(pid) ?? "<...>";
  }

  /** `PID NAME`, a line each. */
  get text(): string {
    return [...this.#names].map(([pid, name]) => `${pid} ${name}\n`).join("");
  }

  #read(kernel: Kernel): void {
    const address = kernel.pointer(kernel.expectSymbol("savedcmd"));
    // There is none until something was traced.
    if (address === 0n) return;
    const saved = kernel.struct("saved_cmdlines_buffer", address);
    const { type } = saved;
    const count = saved.number("cmdline_num");
    if (count > MAX_SAVED) throw new MemoryError("DAMAGED", `${count} names are saved`);
    const nameBytes = kernel.expectTypes().expect("task_struct").expect("comm").size;
    if (nameBytes > MAX_NAME_BYTES) throw new MemoryError("DAMAGED", `names of ${nameBytes} bytes`);
    kernel.budget.keep(count * (4 + nameBytes));
    const pids = kernel.read(saved.pointer("map_cmdline_to_pid"), count * 4);
    // It is a part of the structure's memory in newer kernels, and was an own one before.
    const names = type.expect("saved_cmdlines");
    const at = names.size === 8 ? saved.pointer("saved_cmdlines") : saved.at("saved_cmdlines");
    const texts = kernel.read(at, count * nameBytes);
    const map = kernel.read(saved.at("map_pid_to_cmdline"), PID_MAX_DEFAULT * 4);
    for (let i = 0; i < count; i++) {
      const pid = pids.readInt32LE(i * 4);
      // A slot counts only if the table still leads to it.
      if (pid <= 0 || map.readUInt32LE((pid % PID_MAX_DEFAULT) * 4) !== i) continue;
      const name = texts.subarray(i * nameBytes, (i + 1) * nameBytes);
      const end = name.indexOf(0);
      this.#names.set(pid, name.toString("latin1", 0, end < 0 ? nameBytes : end));
    }
  }
}
