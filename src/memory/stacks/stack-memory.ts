import { MemoryError } from "../errors.js";
import type { Kernel } from "../kernel/index.js";

/** More for a stack isn't read. */
const MAX_STACK_BYTES = 256 << 10;

/** Linux 7.3 has six a CPU for exceptions. */
const MAX_EXCEPTION_STACKS = 16;

/** Where the kernel doesn't say how large a task's stack is. */
const USUAL_BYTES = 16 << 10;

const WORD = 8;

/** One of the kernel's stacks. */
export interface Stack {
  /** Whether code may be on it now: what lies on one that isn't used is left from before. */
  readonly isUsed: boolean;
  /** As the kernel prints it around that stack's part of a trace; undefined for a task's own. */
  readonly name: string | undefined;
  readonly start: bigint;
  readonly bytes: Buffer;
}

const endOf = ({ start, bytes }: Stack): bigint => start + BigInt(bytes.length);

/** The stacks that a task may be on: read once, then looked into. */
export class StackMemory {
  readonly stacks: readonly Stack[];

  constructor(stacks: readonly Stack[]) {
    this.stacks = stacks;
  }

  at(address: bigint): Stack | undefined {
    return this.stacks.find(
      (stack) => address >= stack.start && address + BigInt(WORD) <= endOf(stack),
    );
  }

  word(address: bigint): bigint | undefined {
    const stack = this.at(address);
    return stack?.bytes.readBigUInt64LE(Number(address - stack.start));
  }

  /** The words from `address` to the end of the stack that it is on, with their addresses. */
  *words(address: bigint): Generator<{ at: bigint; word: bigint }, void, void> {
    const stack = this.at(address);
    if (stack === undefined) return;
    // Stacks are aligned, whatever a wild stack pointer is.
    const first = Math.ceil(Number(address - stack.start) / WORD) * WORD;
    for (let offset = first; offset + WORD <= stack.bytes.length; offset += WORD) {
      yield { at: stack.start + BigInt(offset), word: stack.bytes.readBigUInt64LE(offset) };
    }
  }
}

/** An interrupt's stack is as large as a task's (arch/x86/include/asm/page_64_types.h). */
function stackBytes(kernel: Kernel): number {
  const size = kernel.types?.size("irq_stack") ?? USUAL_BYTES;
  if (size > 0 && size <= MAX_STACK_BYTES && size % WORD === 0) return size;
  throw new MemoryError("DAMAGED", `a stack of ${size} bytes`);
}

/** A task's own stack: from its stack pointer on, or all of it. Throws MemoryError where it isn't mapped. */
export function taskStack(kernel: Kernel, base: bigint, from = base): Stack {
  const end = base + BigInt(stackBytes(kernel));
  if (from < base || from > end) {
    throw new MemoryError(
      "DAMAGED",
      `its stack pointer, 0x${from.toString(16)}, isn't on its stack`,
    );
  }
  return {
    name: undefined,
    isUsed: true,
    start: from,
    bytes: kernel.read(from, Number(end - from)),
  };
}

/** Of preempt_count: the CPU handles a non-maskable interrupt, or another exception that can come at any time. */
const NMI_MASK = 0xf00000;

/** Those of a CPU for interrupts and exceptions; what can't be read is noted. */
export function cpuStacks(kernel: Kernel, cpu: number): Stack[] {
  return (
    kernel.attempt(`CPU ${cpu}'s stacks`, () => {
      const hot = new PerCpuHot(kernel, cpu);
      return [...irqStack(kernel, hot), ...exceptionStacks(kernel, cpu, hot)];
    }) ?? []
  );
}

/** Per-CPU variables that Linux 6.2 to 6.14 have in a struct pcpu_hot. */
class PerCpuHot {
  readonly #kernel: Kernel;
  readonly #cpu: number;

  constructor(kernel: Kernel, cpu: number) {
    this.#kernel = kernel;
    this.#cpu = cpu;
  }

  at(symbol: string, member = symbol): bigint {
    const kernel = this.#kernel;
    const own = kernel.symbols?.address(symbol);
    if (own !== undefined) return kernel.perCpu(own, this.#cpu);
    return kernel.struct("pcpu_hot", kernel.perCpuSymbol("pcpu_hot", this.#cpu)).at(member);
  }
}

/** The pointer is to its last word. */
function irqStack(kernel: Kernel, hot: PerCpuHot): Stack[] {
  const last = kernel.pointer(hot.at("hardirq_stack_ptr"));
  if (last === 0n) return [];
  const size = stackBytes(kernel);
  const start = last + BigInt(WORD - size);
  const isUsed = kernel.u8(hot.at("hardirq_stack_inuse")) !== 0;
  return [{ name: "IRQ", isUsed, start, bytes: kernel.read(start, size) }];
}

const NAME = /^(\w+)_stack$/;

/** Their structure has a member for each, and one for each gap between them. */
function exceptionStacks(kernel: Kernel, cpu: number, hot: PerCpuHot): Stack[] {
  const base = kernel.pointer(kernel.perCpuSymbol("cea_exception_stacks", cpu));
  if (base === 0n) return [];
  const isUsed = (kernel.u32(hot.at("__preempt_count", "preempt_count")) & NMI_MASK) !== 0;
  const type = kernel.expectTypes().expect("cea_exception_stacks");
  const members = type.members.filter((member) => NAME.test(member)).slice(0, MAX_EXCEPTION_STACKS);
  return members.flatMap((member) => {
    const name = NAME.exec(member)?.[1];
    const { offset, size } = type.expect(member);
    if (name === undefined || size > MAX_STACK_BYTES) return [];
    const start = base + BigInt(offset);
    // Those of encrypted guests are mapped in such guests only.
    if (kernel.translate(start) === undefined) return [];
    return [{ name: `#${name}`, isUsed, start, bytes: kernel.read(start, size) }];
  });
}
