import type { Btf, Kernel } from "../kernel/index.js";
import { type WriteOptions, writeNew } from "../output-file.js";
import { dwarfOf } from "./dwarf.js";
import { bytesSection, type Section, writeElfFile } from "./elf-file.js";
import { BYTES, SHT } from "./elf-numbers.js";
import { debugFrame, FRAME_REGISTERS, type Frames } from "./frames.js";
import { type ImageSection, imageSections, linkedAddress } from "./sections.js";
import { symbolTable } from "./symbol-table.js";
import { variablesOf } from "./variables.js";

/** What DWARF of a byte of BTF's types costs, in units of the budget. */
const WORK_PER_BYTE = 0.1;
/** And what is kept for it: where each type is in both, and what refers to others. */
const KEPT_PER_BYTE = 4;
/** Of BTF's strings: copies, which grow. */
const KEPT_PER_STRING_BYTE = 2;

/** So much of the guest's memory is read at once. */
const PIECE_BYTES = 1 << 20;

/** What was written. */
export interface Written {
  readonly bytes: number;
  readonly release: string;
  /** In hexadecimal digits. */
  readonly buildId: string | undefined;
  /** What was added to the addresses in the file when the guest booted (KASLR). */
  readonly kernelOffset: bigint;
  readonly symbols: number;
  /** Of vmlinux's own types. */
  readonly types: number;
  /** Those whose types are in it, too. */
  readonly modules: readonly string[];
  readonly unwindRows: number;
}

/** A vmlinux before it is written. */
export interface Vmlinux {
  /** Of those that are the kernel's image, pieces are read when they are asked for. */
  readonly sections: readonly Section[];
  readonly told: Omit<Written, "bytes">;
}

/**
 * Writes what a kernel says of itself as a vmlinux: its symbols, its types as DWARF, how to unwind its stacks, and its
 * code. Addresses are those that it is linked for, as in the vmlinux of a debug package: debuggers move them by what
 * a core's VMCOREINFO says. Fails where `path` is there already. Throws MemoryError where the kernel has no symbols or
 * types.
 */
export async function writeVmlinux(
  kernel: Kernel,
  path: string,
  { stop }: WriteOptions = {},
): Promise<Written> {
  const { sections, told } = vmlinuxOf(kernel);
  let bytes = 0;
  await writeNew(
    path,
    async (file) => {
      bytes = await writeElfFile(file, sections);
    },
    stop,
  );
  return { bytes, ...told };
}

/**
 * The symbols, the unwind tables, the types, and the image have a second each: work that is too much in one of them
 * takes nothing from the others. Throws MemoryError where the kernel has no symbols or types, or too many.
 */
export function vmlinuxOf(kernel: Kernel): Vmlinux {
  const image = imageSections(kernel);
  const { symbols, strings, count, locals } = symbolTable(kernel, image);
  kernel.budget.renewWork();
  const frames = kernel.attempt("unwind tables", () => framesOf(kernel));
  kernel.budget.renewWork();
  const { vmlinux } = kernel.expectTypes();
  spendOnTypes(kernel, vmlinux);
  const variables = variablesOf(kernel, vmlinux);
  const modules = moduleTypes(kernel);
  const dwarf = dwarfOf(vmlinux, variables, modules);
  kernel.budget.renewWork();
  const sections = [
    ...image.map((one) => asSection(kernel, one)),
    bytesSection(".debug_info", SHT.PROGBITS, dwarf.info),
    bytesSection(".debug_abbrev", SHT.PROGBITS, dwarf.abbreviations),
    bytesSection(".debug_str", SHT.PROGBITS, dwarf.strings),
    bytesSection(".debug_frame", SHT.PROGBITS, frames?.bytes ?? Buffer.alloc(0)),
    {
      ...bytesSection(".symtab", SHT.SYMTAB, symbols),
      ...{ link: ".strtab", info: locals, entryBytes: BYTES.symbol },
    },
    bytesSection(".strtab", SHT.STRTAB, strings),
  ];
  const { release, buildId, kernelOffset } = kernel.info;
  return {
    sections,
    told: {
      ...{ release, buildId, kernelOffset },
      ...{ symbols: count - 1, types: vmlinux.endId - vmlinux.firstId },
      ...{ modules: [...modules.keys()], unwindRows: frames?.rows ?? 0 },
    },
  };
}

function spendOnTypes({ budget }: Kernel, { typeBytes, strings }: Btf): void {
  budget.spend(typeBytes * WORK_PER_BYTE);
  budget.keep(typeBytes * KEPT_PER_BYTE + strings.length * KEPT_PER_STRING_BYTE);
}

/** What is too much is left out, with a note. */
function moduleTypes(kernel: Kernel): ReadonlyMap<string, Btf> {
  return new Map(
    [...kernel.moduleTypes].filter(([name, btf]) =>
      kernel.attempt(`module ${name}'s types`, () => {
        spendOnTypes(kernel, btf);
        return true;
      }),
    ),
  );
}

function framesOf(kernel: Kernel): Frames | undefined {
  const rows = kernel.orc?.vmlinux() ?? [];
  const registers = kernel.expectTypes().expect("pt_regs");
  const offsets = FRAME_REGISTERS.map((name) => [name, registers.offset(name)] as const);
  return debugFrame(linked(kernel, rows), new Map(offsets));
}

function* linked<T>(
  kernel: Kernel,
  rows: Iterable<readonly [address: bigint, row: T]>,
): Generator<readonly [address: bigint, row: T], void, void> {
  for (const [address, row] of rows) yield [linkedAddress(address, kernel), row];
}

function asSection(kernel: Kernel, { source, ...section }: ImageSection): Section {
  const { name, size } = section;
  return {
    ...section,
    *pieces() {
      if (source === undefined) return;
      for (let at = 0; at < size; at += PIECE_BYTES) {
        const bytes = kernel.attempt(name, () =>
          kernel.read(source + BigInt(at), Math.min(PIECE_BYTES, size - at)),
        );
        if (bytes !== undefined) yield [at, bytes];
      }
    },
  };
}
