import type { Kernel, SymbolAt } from "../kernel/index.js";
import { REGISTER_NAMES, type Registers } from "../registers.js";
import type { Task } from "../tasks/index.js";
import { GraphReturns } from "./graph-returns.js";
import { cpuStacks, StackMemory, taskStack } from "./stack-memory.js";
import { TextAddresses } from "./text-addresses.js";
import {
  type Begin,
  type Chain,
  type ChainEnd,
  type SavedRegisters,
  type Step,
  type UnwindSource,
  unwind,
} from "./unwinder.js";

/** A function on a task's stack. */
export interface Frame {
  /** Where it goes on, or what looks like that. */
  readonly address: bigint;
  /** What it belongs to; undefined where no symbol is there: a process's code, or code that the kernel made. */
  readonly symbol: SymbolAt | undefined;
  /** Just an address on the stack that code has: maybe left from an earlier call. The kernel marks it with `?`. */
  readonly isGuess: boolean;
  /** Where on the stack the address is; undefined where a register has it. */
  readonly at: bigint | undefined;
  /** What an interrupt, a fault or a system call saved of the interrupted code, which this frame is of. */
  readonly saved?: SavedRegisters;
  /** The CPU's stack for interrupts or exceptions that it is on; undefined for the task's own. */
  readonly stack: string | undefined;
}

/** What a stack was unwound from. */
export type StackFrom =
  /** What the task saved when another took its CPU: exact. */
  | "switch"
  /** The registers of the CPU that runs it: exact. */
  | "registers"
  /** The longest chain of frames on its stack: it runs, and its registers aren't known. */
  | "longest chain"
  /** All that looks like a return address: the kernel has no unwind tables. */
  | "words"
  /** It runs a process's code. */
  | "user mode";

export interface TaskStack {
  readonly from: StackFrom;
  /** From the innermost on. */
  readonly frames: readonly Frame[];
  /** `lost`: the tables led no further, and what is behind is a guess. */
  readonly end: ChainEnd;
}

const WORD = 8n;

/** What looking at a word costs, and a guess with its line, in units of the budget. */
const WORK_PER_WORD = 0.1;
const WORK_PER_GUESS = 4;

/** Reads tasks' stacks, and unwinds them as the kernel would. */
export class Stacks {
  readonly #kernel: Kernel;
  readonly #registers: ReadonlyMap<number, Registers>;
  readonly #text: TextAddresses;
  readonly #graph: GraphReturns;
  readonly #symbols = new Map<bigint, SymbolAt | undefined>();
  readonly #offsets: UnwindSource["offsets"];
  /** Where a task begins that never ran. */
  readonly #forkReturns: ReadonlySet<bigint>;

  /** `registers` are those of CPUs, as far as known. Throws MemoryError where the kernel has no types. */
  constructor(kernel: Kernel, registers: ReadonlyMap<number, Registers> = new Map()) {
    this.#kernel = kernel;
    this.#registers = registers;
    this.#text = new TextAddresses(kernel);
    this.#graph = new GraphReturns(kernel);
    this.#offsets = registerOffsets(kernel);
    this.#forkReturns = new Set(
      ["ret_from_fork_asm", "ret_from_fork"].flatMap((name) => kernel.symbols?.address(name) ?? []),
    );
  }

  /** A task's stack. Throws MemoryError where it can't be read. */
  of(task: Task): TaskStack {
    if (!task.isRunning) return this.#sleeping(task);
    const registers = this.#registers.get(task.cpu);
    return registers === undefined ? this.#guessed(task) : this.#known(task, registers);
  }

  /** `switch_to` puts a struct inactive_task_frame onto the stack. */
  #sleeping(task: Task): TaskStack {
    const { struct } = task;
    const sp = struct.pointer("thread.sp");
    const stack = taskStack(this.#kernel, struct.pointer("stack"), sp);
    const memory = new StackMemory([stack]);
    const frame = this.#kernel.expectTypes().expect("inactive_task_frame");
    const at = sp + BigInt(frame.offset("ret_addr"));
    const ip = memory.word(at);
    const bp = memory.word(sp + BigInt(frame.offset("bp")));
    if (ip === undefined) return { from: "switch", frames: [], end: "lost" };
    // A task that never ran returns to where no call is.
    const isReturn = !this.#forkReturns.has(ip);
    const begin = { ip, sp: sp + BigInt(frame.size), bp, isReturn, at };
    return this.#unwound(task, memory, begin, "switch", sp);
  }

  #known(task: Task, registers: Registers): TaskStack {
    const { ip, sp, bp } = registers;
    const begin = { ip, sp, bp, isReturn: false, registers };
    return this.#unwound(task, this.#running(task), begin, "registers", sp);
  }

  #unwound(task: Task, memory: StackMemory, begin: Begin, from: StackFrom, sp: bigint): TaskStack {
    const source = this.#source(task, memory);
    if (source === undefined) {
      const frames = this.#withGuesses(memory, [], sp);
      return { from: "words", frames, end: "lost" };
    }
    const { steps, end } = unwind(source, begin);
    if (end === "user mode" && steps.length === 1) {
      return { from: "user mode", frames: steps.map((step) => this.#frame(memory, step)), end };
    }
    return { from, frames: this.#withGuesses(memory, steps, sp), end };
  }

  /** Each return address may be where it is: the chain that gets from one to the stack's bottom by most frames wins. */
  #guessed(task: Task): TaskStack {
    const memory = this.#running(task);
    const source = this.#source(task, memory);
    if (source === undefined) {
      const frames = this.#withGuesses(memory, [], task.struct.pointer("stack"));
      return { from: "words", frames, end: "lost" };
    }
    let best: Chain = { steps: [], end: "lost" };
    const covered = new Set<bigint>();
    for (const stack of memory.stacks.filter(({ isUsed }) => isUsed)) {
      for (const { at, word } of memory.words(stack.start)) {
        this.#kernel.budget.spend(WORK_PER_WORD);
        // From the middle of a chain there is only a shorter one.
        if (covered.has(at) || !this.#text.has(word)) continue;
        const begin = { ip: word, sp: at + WORD, bp: undefined, isReturn: true, at };
        const chain = unwind(source, begin);
        if (!this.#isPlausible(chain)) continue;
        for (const step of chain.steps) if (step.at !== undefined) covered.add(step.at);
        if (chain.steps.length > best.steps.length) best = chain;
      }
    }
    const frames = best.steps.map((step) => ({ ...this.#frame(memory, step), isGuess: true }));
    return { from: "longest chain", frames, end: best.end };
  }

  /** It reaches an end, through code of the kernel only. */
  #isPlausible({ steps, end }: Chain): boolean {
    const own = end === "user mode" ? steps.slice(0, -1) : steps;
    return end !== "lost" && own.every(({ ip }) => this.#text.has(ip));
  }

  /** As the kernel prints a stack: all return addresses on it, and those that aren't in the chain are guesses. */
  #withGuesses(memory: StackMemory, steps: readonly Step[], sp: bigint): Frame[] {
    const left = [...steps];
    const frames: Frame[] = [];
    if (left[0] !== undefined && left[0].at === undefined) {
      frames.push(this.#frame(memory, left[0]));
      left.shift();
    }
    for (let from: bigint | undefined = sp; from !== undefined; from = left[0]?.at) {
      const stack = memory.at(from);
      for (const { at, word } of memory.words(from)) {
        this.#kernel.budget.spend(WORK_PER_WORD);
        if (left[0]?.at === at) {
          frames.push(this.#frame(memory, left[0]));
          left.shift();
        } else if (this.#text.has(word)) {
          this.#kernel.budget.spend(WORK_PER_GUESS);
          const step = { ip: word, isReturn: true, at };
          frames.push({ ...this.#frame(memory, step), isGuess: true });
        }
      }
      // Wild: not aligned, or behind what was walked over.
      if (left[0]?.at !== undefined && memory.at(left[0].at) === stack) break;
    }
    return frames;
  }

  #frame(memory: StackMemory, { ip, isReturn, at, saved }: Step): Frame {
    return {
      ...{ address: ip, symbol: this.symbol(ip, isReturn), isGuess: false, at },
      ...(saved === undefined ? {} : { saved }),
      stack: at === undefined ? undefined : memory.at(at)?.name,
    };
  }

  /** As the kernel's %pB: what is behind a call may belong to the next function already. */
  symbol(address: bigint, isReturn: boolean): SymbolAt | undefined {
    const shift = isReturn ? 1 : 0;
    const asked = address - BigInt(shift);
    if (!this.#symbols.has(asked)) {
      const found = this.#text.has(asked) ? this.#kernel.symbols?.at(asked) : undefined;
      this.#symbols.set(asked, found);
    }
    const found = this.#symbols.get(asked);
    return found && { ...found, offset: found.offset + shift };
  }

  #running(task: Task): StackMemory {
    const own = taskStack(this.#kernel, task.struct.pointer("stack"));
    return new StackMemory([own, ...cpuStacks(this.#kernel, task.cpu)]);
  }

  #source(task: Task, memory: StackMemory): UnwindSource | undefined {
    const { orc, budget } = this.#kernel;
    if (orc === undefined) return undefined;
    return {
      orc: (address) => orc.at(address),
      word: (address) => memory.word(address),
      isOneStack: (a, b) => memory.at(a) !== undefined && memory.at(a) === memory.at(b),
      offsets: this.#offsets,
      returnAddress: (address, at) => this.#graph.original(task, address, at),
      spend: (work) => {
        budget.spend(work);
      },
    };
  }
}

function registerOffsets(kernel: Kernel): UnwindSource["offsets"] {
  const type = kernel.expectTypes().expect("pt_regs");
  const entries = REGISTER_NAMES.map((name) => [name, type.offset(name)] as const);
  return Object.fromEntries(entries) as Record<keyof Registers, number>;
}
