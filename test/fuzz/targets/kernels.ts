import { MemoryError } from "../../../src/memory/errors.js";
import { findInfos } from "../../../src/memory/kernel/find-info.js";
import { type Kernel, openKernel } from "../../../src/memory/kernel/index.js";
import { KernelLog, logText } from "../../../src/memory/log.js";
import { vmlinuxOf } from "../../../src/memory/vmlinux/write-vmlinux.js";
import { memoryOf, type TinyKernel, tinyKernel } from "../../support/tiny-kernel.js";
import type { Random } from "../random.js";
import { expect, type FuzzTarget, InputReader } from "../target.js";

/** What of a kernel's memory an input changes: VMCOREINFO, page tables, printk's ring, kallsyms, BTF, ORC. */
const PARTS = [
  ...["vmcoreinfo", "page tables", "ring", "descs", "infos", "text", "syms", "names", "tokens"],
  ...["token index", "offsets", "__start_BTF", "__start_orc_unwind_ip", "__start_orc_unwind"],
  ...["init_task", "__cpu_present_mask", "__per_cpu_offset", "nr_cpu_ids"],
];

const TINY: readonly TinyKernel[] = [
  tinyKernel({ levels: 4, ownPlace: false }),
  tinyKernel({ levels: 5, ownPlace: true }),
];

/** A guest's memory in which something is wrong: nothing but MemoryError may come of it, and in bounded work. */
export class Kernels implements FuzzTarget {
  readonly #works = TINY.map(({ bytes }) => {
    const copy = Buffer.from(bytes);
    return { copy, memory: memoryOf(copy) };
  });

  /** An input: which kernel; then a part's number, a place in it, a length, and so many bytes, again and again. */
  generate(random: Random): Buffer {
    const kernel = random.below(TINY.length);
    const changes = Array.from({ length: 1 + random.below(4) }, () => {
      const part = random.below(PARTS.length);
      const size = TINY[kernel]?.places.get(PARTS[part] ?? "")?.size ?? 1;
      const at = random.below(size);
      const bytes = random.oneIn(2) ? random.bytes(1 + random.below(8)) : wide(random);
      const place = random.oneIn(2) ? at - (at % 8) : at;
      return Buffer.from([part, place & 0xff, place >> 8, bytes.length, ...bytes]);
    });
    return Buffer.concat([Buffer.from([kernel]), ...changes]);
  }

  run(input: Buffer): string {
    const reader = new InputReader(input);
    const which = reader.u8() % TINY.length;
    const tiny = TINY[which];
    const work = this.#works[which];
    if (tiny === undefined || work === undefined) return "nothing";
    const changed: string[] = [];
    const places: { at: number; size: number }[] = [];
    while (reader.left > 4) {
      const name = PARTS[reader.u8() % PARTS.length] ?? "";
      const part = tiny.places.get(name);
      const place = reader.u16();
      const bytes = reader.bytes(reader.u8());
      if (part === undefined) continue;
      const at = part.at + (place % part.size);
      const size = bytes.copy(work.copy, at, 0, Math.min(bytes.length, part.at + part.size - at));
      places.push({ at, size });
      changed.push(name);
    }
    try {
      return `${changed[0] ?? "nothing"} ${look(() => openKernel(work.memory))}`;
    } finally {
      for (const { at, size } of places) tiny.bytes.copy(work.copy, at, at, at + size);
    }
  }

  check(): Promise<void> {
    for (const { memory } of this.#works) {
      expect(findInfos(memory).length === 1, "a good kernel is found");
      const kernel = openKernel(memory);
      expect(look(() => kernel) === GOOD, "and read");
    }
    return Promise.resolve();
  }

  close(): void {}
}

/** Numbers that are more than there can be, or point elsewhere. */
function wide(random: Random): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(random.interesting64());
  return bytes;
}

const GOOD = "symbols types orc log tasks vmlinux";

/** Reads all that there is. */
function look(open: () => Kernel): string {
  const words: string[] = [];
  const attempt = (read: () => string) => {
    try {
      words.push(read());
    } catch (error) {
      if (!(error instanceof MemoryError)) throw error;
      words.push(error.code);
    }
  };
  attempt(() => {
    const kernel = open();
    attempt(() => {
      if (kernel.symbols === undefined) return "no-symbols";
      for (const { address } of kernel.symbols.all()) kernel.symbols.at(address);
      return "symbols";
    });
    attempt(() => (kernel.types?.size("task_t") === 56 ? "types" : "other-types"));
    attempt(() => {
      const entry = kernel.orc?.at(kernel.expectSymbol("schedule"));
      return entry?.spRegister === "sp" ? "orc" : "other-orc";
    });
    attempt(() => {
      let bytes = 0;
      for (const text of logText(new KernelLog(kernel).entries())) bytes += text.length;
      return bytes > 60 ? "log" : "less-log";
    });
    attempt(() => {
      const head = kernel.structAt("task_struct", "init_task").at("tasks");
      const comms = [...kernel.list(head, "task_struct", "tasks")].map((one) => one.text("comm"));
      for (const cpu of kernel.presentCpus) kernel.perCpu(0n, cpu);
      expect(comms.length < 1_000_000, "a list ends");
      return comms.length === 2 ? "tasks" : "other-tasks";
    });
    attempt(() => {
      const { sections, told } = vmlinuxOf(kernel);
      let bytes = 0;
      for (const { pieces } of sections) for (const [, piece] of pieces()) bytes += piece.length;
      expect(bytes < 64 << 20, "what is written is bounded");
      return told.unwindRows === 4 ? "vmlinux" : "other-vmlinux";
    });
    expect(kernel.budget.left > -1_000_000, "no more is read than the budget allows");
    return "";
  });
  return words.filter(Boolean).join(" ");
}
