import { InvalidArgumentError, Option } from "commander";
import { type Qmp, whilePaused } from "../../formats/erst/qmp.js";
import { MemoryError } from "../../memory/errors.js";
import { packInThreads } from "../../memory/vmcore/compress-pool.js";
import type { CoreFacts } from "../../memory/vmcore/core-facts.js";
import { writeElf } from "../../memory/vmcore/elf.js";
import { levelOf, PAGE_KINDS, type PageKind, pagesLeftOut } from "../../memory/vmcore/filter.js";
import { type KdumpOptions, writeKdump } from "../../memory/vmcore/kdump.js";
import { coreFacts, registersFromFirst } from "../../memory/vmcore/kernel-facts.js";
import { errorLine, USAGE, UserError, warn } from "../../service/errors.js";
import { notEmpty } from "../option-values.js";
import { outputOption } from "./output-option.js";
import { askRegisters, type KnownCpu, qmpOption, readRegisters } from "./registers.js";
import type { Looked, View } from "./view.js";
import { writeOutput } from "./write-output.js";

const FORMATS = ["elf", "kdump-zlib", "kdump-zstd"] as const;
type Format = (typeof FORMATS)[number];

/** What takes no longer than that is done before anybody wonders. */
const QUIET_MS = 2000;
const TELL_MS = 200;

function parseKinds(text: string): ReadonlySet<PageKind> {
  const kinds = text.split(",").map((word) => {
    const kind = PAGE_KINDS.find((one) => one === word);
    if (kind !== undefined) return kind;
    throw new InvalidArgumentError(`It must be of ${PAGE_KINDS.join(",")}.`);
  });
  return new Set(kinds);
}

export const vmcore: View = {
  name: "vmcore",
  summary: "write a core of the guest, as ELF or kdump-compressed: -o FILE",
  options: [
    outputOption,
    new Option("--format <format>", "vmcore: sparse ELF, or kdump-compressed")
      .choices(FORMATS)
      .default("elf"),
    new Option(
      "--filter <kinds>",
      `vmcore: leave out pages of these kinds, of ${PAGE_KINDS.join(",")}`,
    ).argParser(parseKinds),
    new Option(
      "--pause <socket>",
      "vmcore: pause the guest meanwhile, at the socket of QEMU's -qmp unix:SOCKET,server=on,wait=off",
    ).argParser(notEmpty),
    qmpOption,
  ],

  async show(looked) {
    const { output, format, filter, pause } = looked.options as {
      readonly output?: string;
      readonly format: Format;
      readonly filter?: ReadonlySet<PageKind>;
      readonly pause?: string;
    };
    if (output === undefined) throw new UserError("vmcore writes a file: -o FILE", USAGE);
    if (pause !== undefined && looked.options.qmp !== undefined) {
      throw new UserError("--pause takes the registers, too: leave --qmp out", USAGE);
    }
    // Its threads start while the kernel is looked for.
    const packing = format === "elf" ? undefined : packingOf(format);
    try {
      // The guest isn't paused for it.
      const facts = factsOf(looked, filter);
      await writeOutput(
        output,
        async (stop) => {
          const write = (cpus: ReadonlyMap<number, KnownCpu>) =>
            writeCore(looked, output, packing, filter, withRegisters(facts, cpus), stop);
          if (pause === undefined) await write(await readRegisters(looked));
          else await pausedAt(pause, async (qmp) => write(await tryToAsk(qmp)), stop);
        },
        // A guest that is paused goes on first, whoever is impatient.
        { mustFinish: pause !== undefined },
      );
    } finally {
      await packing?.packer.close();
    }
    return { lines: [], json: () => ({ output, format }) };
  },
};

type Packing = Pick<KdumpOptions, "compression" | "packer">;

function packingOf(format: Exclude<Format, "elf">): Packing {
  const compression = format === "kdump-zlib" ? "zlib" : "zstd";
  return { compression, packer: packInThreads(compression) };
}

/** What is wrong with the monitor is told as such, and not as the file's fault. */
async function pausedAt(
  path: string,
  task: (qmp: Qmp) => Promise<void>,
  stop: AbortSignal,
): Promise<void> {
  let failed: { readonly error: unknown } | undefined;
  const noting = async (qmp: Qmp) => {
    try {
      await task(qmp);
    } catch (error) {
      failed = { error };
      throw error;
    }
  };
  try {
    await whilePaused(path, noting, stop);
  } catch (error) {
    if (failed?.error === error) throw error;
    throw new UserError(`${path}: QEMU's monitor: ${errorLine(error)}`);
  }
}

/** Not every monitor tells them; the core is worth having without. */
async function tryToAsk(qmp: Qmp): Promise<ReadonlyMap<number, KnownCpu>> {
  try {
    return await askRegisters(qmp);
  } catch (error) {
    warn(`the core has no registers: ${errorLine(error)}`);
    return new Map();
  }
}

/** A memory without a Linux that is found can be a core, too: its readers see what they make of it. */
function factsOf(looked: Looked, filter: ReadonlySet<PageKind> | undefined): CoreFacts | undefined {
  try {
    return coreFacts(looked.kernel);
  } catch (error) {
    if (!(error instanceof MemoryError) || filter !== undefined) throw error;
    warn(`the core says nothing of a kernel: ${error.message}`);
    return undefined;
  }
}

function withRegisters(
  facts: CoreFacts | undefined,
  cpus: ReadonlyMap<number, KnownCpu>,
): CoreFacts | undefined {
  const registers = new Map([...cpus].map(([cpu, { registers }]) => [cpu, registers] as const));
  return facts && { ...facts, registers: registersFromFirst(registers) };
}

async function writeCore(
  looked: Looked,
  output: string,
  packing: Packing | undefined,
  filter: ReadonlySet<PageKind> | undefined,
  facts: CoreFacts | undefined,
  stop: AbortSignal,
): Promise<void> {
  const { memory } = looked;
  const kinds = filter ?? new Set<PageKind>();
  const leftOut =
    kinds.size === 0 ? undefined : await pagesLeftOut(looked.kernel, memory.extents(), kinds, stop);
  const told = new Told();
  const options = {
    stop,
    progress: (doneBytes: number, totalBytes: number) => {
      told.tell(doneBytes / totalBytes);
    },
  };
  try {
    if (packing === undefined) {
      await writeElf(memory, output, facts, leftOut, options);
    } else {
      const level = levelOf(kinds);
      await writeKdump(memory, output, facts, leftOut, { ...options, ...packing, level });
    }
  } finally {
    told.end();
  }
}

/** How far it is, on a terminal. */
class Told {
  readonly #began = performance.now();
  #last = 0;

  tell(part: number): void {
    const now = performance.now();
    if (!process.stderr.isTTY || now - this.#began < QUIET_MS || now - this.#last < TELL_MS) return;
    this.#last = now;
    process.stderr.write(`\rvirtio-pstore: ${Math.floor(part * 100)} % of the memory`);
  }

  end(): void {
    if (this.#last > 0) process.stderr.write("\r\u001b[K");
  }
}
