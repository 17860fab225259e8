import { MemoryError } from "../errors.js";
import type { Kernel } from "../kernel/index.js";
import { SHF, SHT } from "./elf-numbers.js";

/** A section of the kernel's image. */
export interface ImageSection {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  /** That it is linked for. */
  readonly address: bigint;
  /** Where it is in the guest; undefined where only its room is told. */
  readonly source: bigint | undefined;
  /** In bytes. */
  readonly size: number;
}

/** Several times what a distribution's kernel has: one that claims more would fill the disk. */
const MAX_IMAGE_BYTES = 256n << 20n;
const MAX_PER_CPU_BYTES = 64n << 20n;

interface Part {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  readonly type: number;
  readonly flags: number;
  /** It is as it was when the kernel was built, but for patched code: the file has it. */
  readonly isFilled: boolean;
}

const CODE = { type: SHT.PROGBITS, flags: SHF.ALLOC | SHF.EXEC, isFilled: true };
const CONSTANT = { type: SHT.PROGBITS, flags: SHF.ALLOC, isFilled: true };
/** A core has them. They are holes of the file: crash wants such sections to have contents, and drgn .init.text. */
const DATA = { type: SHT.PROGBITS, flags: SHF.ALLOC | SHF.WRITE, isFilled: false };
/** The kernel has freed it, and it is something else by now. */
const FREED = { type: SHT.PROGBITS, flags: SHF.ALLOC | SHF.EXEC, isFilled: false };
const ROOM = { type: SHT.NOBITS, flags: SHF.ALLOC | SHF.WRITE, isFilled: false };

/** Each between two symbols. */
const PARTS: readonly Part[] = [
  { name: ".text", from: "_text", to: "_etext", ...CODE },
  { name: ".rodata", from: "__start_rodata", to: "__end_rodata", ...CONSTANT },
  { name: ".notes", from: "__start_notes", to: "__stop_notes", ...CONSTANT, type: SHT.NOTE },
  { name: ".BTF", from: "__start_BTF", to: "__stop_BTF", ...CONSTANT },
  {
    name: ".orc_unwind_ip",
    from: "__start_orc_unwind_ip",
    to: "__stop_orc_unwind_ip",
    ...CONSTANT,
  },
  { name: ".orc_unwind", from: "__start_orc_unwind", to: "__stop_orc_unwind", ...CONSTANT },
  { name: ".data", from: "_sdata", to: "_edata", ...DATA },
  { name: ".init.text", from: "_sinittext", to: "_einittext", ...FREED },
  { name: ".data..percpu", from: "__per_cpu_start", to: "__per_cpu_end", ...DATA },
  { name: ".bss", from: "__bss_start", to: "_end", ...ROOM },
];

/** What is between them is data of some kind. */
const BETWEEN = { name: ".image", ...ROOM };

/** The address that a kernel's address was linked for: those of per-CPU symbols may begin at 0, and aren't moved. */
export function linkedAddress(address: bigint, { info }: Kernel): bigint {
  return address >> 63n === 0n ? address : BigInt.asUintN(64, address - info.kernelOffset);
}

/** The image's sections from _text to _end without gaps, and the per-CPU one where it is elsewhere; ascending. */
export function imageSections(kernel: Kernel): ImageSection[] {
  const start = kernel.expectSymbol("_text");
  const end = kernel.expectSymbol("_end");
  const found = PARTS.flatMap((part) => {
    const from = kernel.symbols?.address(part.from);
    const to = kernel.symbols?.address(part.to);
    return from !== undefined && to !== undefined && from < to ? [{ ...part, from, to }] : [];
  });
  const sections = found
    .filter(({ from, to }) => to <= start && to - from <= MAX_PER_CPU_BYTES)
    .map((part) => section(kernel, part, part.from, part.to));
  if (end <= start || end - start > MAX_IMAGE_BYTES) {
    throw new MemoryError("DAMAGED", `the kernel's image has ${end - start} bytes`);
  }
  const inside = found.filter(({ from, to }) => from >= start && to <= end);
  const ends = [start, end, ...inside.flatMap(({ from, to }) => [from, to])].sort(byValue);
  for (const [i, to] of ends.entries()) {
    const from = ends[i - 1] ?? to;
    if (from === to) continue;
    // Tables may lie in the read-only data, and the smaller part is what it is.
    const [innermost] = inside
      .filter((part) => part.from <= from && part.to >= to)
      .sort((a, b) => byValue(a.to - a.from, b.to - b.from));
    sections.push(section(kernel, innermost ?? BETWEEN, from, to));
  }
  return sections;
}

const byValue = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);

function section(
  kernel: Kernel,
  { name, type, flags, isFilled }: Omit<Part, "from" | "to">,
  from: bigint,
  to: bigint,
): ImageSection {
  const address = linkedAddress(from, kernel);
  const source = isFilled ? from : undefined;
  return { name, type, flags, address, source, size: Number(to - from) };
}
