import { expect, it } from "vitest";
import { report } from "../../src/cli/inspect/report.js";
import type { View } from "../../src/cli/inspect/view.js";
import { VIEWS } from "../../src/cli/inspect/views.js";
import { MemoryError, openMemory, type PhysicalMemory } from "../../src/memory/index.js";
import { type Kernel, openKernel } from "../../src/memory/kernel/index.js";
import { vmlinuxOf } from "../../src/memory/vmlinux/write-vmlinux.js";
import { UserError } from "../../src/service/errors.js";
import { Random } from "../fuzz/random.js";
import { LONG } from "../support/patience.js";
import { HAND_OVER, memoryGuest } from "./memory-guest.js";
import { describeGuests } from "./support.js";

const PAGE = 4096;

/** What a lie may cost on top of what the view takes anyway is a second of CPU; on a busy machine CPUs are slower. */
const MOST_MS = 5000;

/** Those that only show; a vmcore copies what these read. */
const SHOWN = [report, ...VIEWS.filter(({ name }) => name !== "vmcore" && name !== "vmlinux")];

/** Without its file. It takes as long as all others together. */
const vmlinux: View = {
  ...{ name: "vmlinux", summary: "", options: [] },
  show: ({ kernel }) => Promise.resolve({ lines: [], json: () => vmlinuxOf(kernel).told.modules }),
};
const VMLINUX_SEEDS = 7;

/** A guest's memory with some pages that are others than the guest's. */
class DamagedMemory implements PhysicalMemory {
  readonly #memory: PhysicalMemory;
  readonly #pages = new Map<number, Buffer>();
  /** The pages that were read. */
  readonly touched = new Set<number>();

  constructor(memory: PhysicalMemory) {
    this.#memory = memory;
  }

  get regions() {
    return this.#memory.regions;
  }

  extents() {
    return this.#memory.extents();
  }

  read(address: number, into: Buffer): number {
    const count = this.#memory.read(address, into);
    for (let page = Math.floor(address / PAGE); page * PAGE < address + count; page++) {
      this.touched.add(page);
      const bytes = this.#pages.get(page);
      const start = Math.max(address, page * PAGE);
      const end = Math.min(address + count, (page + 1) * PAGE);
      bytes?.copy(into, start - address, start - page * PAGE, end - page * PAGE);
    }
    return count;
  }

  heal(): void {
    this.#pages.clear();
  }

  /** Writes some words into a page. */
  damage(page: number, random: Random): void {
    const bytes = this.#pages.get(page) ?? Buffer.alloc(PAGE);
    if (!this.#pages.has(page)) this.#memory.read(page * PAGE, bytes);
    this.#pages.set(page, bytes);
    for (let left = 1 + random.below(16); left > 0; left--) {
      const at = random.below(PAGE / 8) * 8;
      const from = random.below(PAGE / 8) * 8;
      const kinds = [
        () => bytes.fill(0, at, at + 8),
        () => bytes.fill(0xff, at, at + 8),
        () => bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << random.below(8)), at),
        () => bytes.copy(bytes, at, from, from + 8),
        () => bytes.writeUInt32LE(random.u32(), at),
        () => bytes.writeBigUInt64LE(BigInt(random.u32()) << BigInt(random.below(33)), at),
      ];
      kinds[random.below(kinds.length)]?.();
    }
  }

  close(): void {
    this.#memory.close();
  }
}

/** Shows a view whole. Throws what is no line for a user. */
async function show(view: View, memory: PhysicalMemory, kernel: Kernel): Promise<void> {
  kernel.budget.renew();
  try {
    const looked = { source: "", memory, kernel, notes: kernel.notes, options: {} };
    const shown = await view.show(looked);
    for (const line of shown.lines) expect(line).not.toContain("\n");
    expect(JSON.stringify(shown.json())).toBeTypeOf("string");
  } catch (error) {
    if (!(error instanceof MemoryError || error instanceof UserError)) throw error;
  }
}

/** Shows everything. Throws where something takes too long. */
async function showAll(memory: PhysicalMemory, views: readonly View[]): Promise<void> {
  let kernel: Kernel;
  try {
    kernel = openKernel(memory);
  } catch (error) {
    if (error instanceof MemoryError) return;
    throw error;
  }
  for (const view of views) {
    const before = process.cpuUsage();
    await show(view, memory, kernel);
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1000, view.name).toBeLessThan(MOST_MS);
  }
}

const SCRIPT = `
mkdir -p /out
echo 1 > /sys/kernel/tracing/events/sched/enable
sleep 1
echo 0 > /sys/kernel/tracing/tracing_on
${HAND_OVER}`;

describeGuests("a guest's memory that is damaged wherever it is read", () => {
  it.each(["6.1", "6.12", "7.3"] as const)("Linux %s", async (kernel) => {
    const guest = await memoryGuest({ kernel, script: SCRIPT });
    await guest.kill();
    const memory = new DamagedMemory(openMemory(guest.memory));
    const found = openKernel(memory);
    const all = [...memory.touched];
    memory.touched.clear();
    for (const view of SHOWN) await show(view, memory, found);
    const shown = [...memory.touched];
    for (let seed = 1; seed <= (LONG ? 100 : 7); seed++) {
      const random = new Random(seed);
      memory.heal();
      for (let left = 1 + random.below(30); left > 0; left--) {
        const pages = random.below(2) === 0 ? all : shown;
        memory.damage(pages[random.below(pages.length)] ?? 0, random);
      }
      const views = seed % VMLINUX_SEEDS === 0 ? [...SHOWN, vmlinux] : SHOWN;
      await showAll(memory, views).catch((error: unknown) => {
        throw new Error(`with seed ${seed}`, { cause: error });
      });
    }
    memory.close();
  });
});
