import type { OrcEntry } from "../kernel/index.js";
import { isUserMode, type Registers } from "../registers.js";

/** What an unwinder reads. */
export interface UnwindSource {
  /** The unwind table's entry for an instruction; undefined where no table tells of it. */
  orc(address: bigint): OrcEntry | undefined;
  /** The 8 bytes at an address on one of the task's stacks; undefined elsewhere. */
  word(address: bigint): bigint | undefined;
  /** Whether two addresses lie on the same stack. */
  isOneStack(a: bigint, b: bigint): boolean;
  /** Where in struct pt_regs each register is. */
  readonly offsets: Readonly<Record<keyof Registers, number>>;
  /** What a return address was, where a tracer put its own at `at`. */
  returnAddress(address: bigint, at: bigint): bigint;
  /** Throws MemoryError where no work is left. */
  spend(work: number): void;
}

/** One step of a stack. */
export interface Step {
  /** Of the instruction that goes on when what it called returns; in an interrupted frame, of the interrupted one. */
  readonly ip: bigint;
  /** It lies behind a call: the byte before belongs to the function. */
  readonly isReturn: boolean;
  /** Where on the stack the address is; undefined for the first where a register has it. */
  readonly at: bigint | undefined;
  /** The registers that an interrupt, a fault or a system call left there, as far as they are. */
  readonly saved?: SavedRegisters;
}

export type SavedRegisters = Pick<Registers, "ip" | "cs" | "sp" | "flags">;

/** Why a chain of frames ends: at the stack's bottom, or where the tables lead no further. */
export type ChainEnd = "bottom" | "user mode" | "lost";

export interface Chain {
  readonly steps: readonly Step[];
  readonly end: ChainEnd;
}

/** Where a chain begins. */
export interface Begin {
  readonly ip: bigint;
  readonly sp: bigint;
  readonly bp: bigint | undefined;
  readonly isReturn: boolean;
  readonly at?: bigint;
  /** All registers, where a CPU's are known. */
  readonly registers?: Registers;
}

/** A stack has no more frames than words. */
const MAX_STEPS = 4096;

/** The table is halved some twenty times. */
const WORK_PER_STEP = 3;

const WORD = 8n;

/** What a call through a NULL pointer left on the stack is as at a function's begin. */
const NULL_CALL: OrcEntry = {
  ...{ spRegister: "sp", spOffset: 8, bpRegister: "undefined", bpOffset: 0 },
  ...{ type: "call", signal: false },
};

/** Where no table tells, the code may keep a frame pointer. */
const FRAME_POINTER: OrcEntry = {
  ...{ spRegister: "bp", spOffset: 16, bpRegister: "previous-sp", bpOffset: -16 },
  ...{ type: "call", signal: false },
};

type Register = keyof Registers;

/** Unwinds by ORC, as Linux's arch/x86/kernel/unwind_orc.c does. */
export function unwind(source: UnwindSource, begin: Begin): Chain {
  return new Unwinder(source, begin).run();
}

class Unwinder {
  readonly #source: UnwindSource;
  readonly #steps: Step[];
  #ip: bigint;
  #sp: bigint;
  #bp: bigint | undefined;
  #isReturn: boolean;
  /** What the frame's registers are read from: all of them, or those below an interrupt's. */
  #register: (name: Register) => bigint | undefined;
  #isUserMode: boolean;

  constructor(source: UnwindSource, { ip, sp, bp, isReturn, at, registers }: Begin) {
    this.#source = source;
    this.#ip = ip;
    this.#sp = sp;
    this.#bp = bp;
    this.#isReturn = isReturn;
    this.#register = (name) => registers?.[name];
    this.#isUserMode = registers !== undefined && isUserMode(registers);
    this.#steps = [{ ip, isReturn, at }];
  }

  run(): Chain {
    for (;;) {
      const end = this.#steps.length < MAX_STEPS ? this.#next() : "lost";
      if (end !== undefined) return { steps: this.#steps, end };
    }
  }

  /** Goes to the caller's frame, or says why there is none. */
  #next(): ChainEnd | undefined {
    if (this.#isUserMode) return "user mode";
    this.#source.spend(WORK_PER_STEP);
    const orc = this.#entry();
    if (orc.type === "end") return "bottom";
    if (orc.type === "undefined") return "lost";
    const before = this.#sp;
    const frame = this.#frameEnd(orc);
    if (frame === undefined) return "lost";
    const reached =
      orc.type === "call" ? this.#toCaller(frame) : this.#toInterrupted(frame, orc.type);
    if (!reached || !this.#restoreBp(orc, frame)) return "lost";
    // On one stack it only goes up, so that it ends.
    return this.#sp <= before && this.#source.isOneStack(before, this.#sp) ? "lost" : undefined;
  }

  #entry(): OrcEntry {
    if (this.#ip === 0n) return NULL_CALL;
    const found = this.#source.orc(this.#isReturn ? this.#ip - 1n : this.#ip);
    return found ?? FRAME_POINTER;
  }

  /** Where the caller's frame begins: behind the return address, or at the registers. */
  #frameEnd({ spRegister, spOffset }: OrcEntry): bigint | undefined {
    const offset = BigInt(spOffset);
    switch (spRegister) {
      case "sp":
        return this.#sp + offset;
      case "bp":
        return add(this.#bp, offset);
      case "sp-indirect":
        return add(this.#source.word(this.#sp), offset);
      case "bp-indirect": {
        const at = add(this.#bp, offset);
        return at === undefined ? undefined : this.#source.word(at);
      }
      case "ax":
      case "dx":
      case "di":
      case "r10":
      case "r13":
        return this.#register(spRegister);
      default:
        return undefined;
    }
  }

  #toCaller(frame: bigint): boolean {
    const at = frame - WORD;
    const address = this.#source.word(at);
    if (address === undefined) return false;
    this.#ip = this.#source.returnAddress(address, at);
    this.#sp = frame;
    this.#isReturn = true;
    this.#register = () => undefined;
    this.#steps.push({ ip: this.#ip, isReturn: true, at });
    return true;
  }

  /** `frame` is where the registers are, or of an interrupt's own five the first. */
  #toInterrupted(frame: bigint, type: "regs" | "regs-partial"): boolean {
    const { offsets } = this.#source;
    const base = type === "regs" ? frame : frame - BigInt(offsets.ip);
    const read = (name: Register) => this.#source.word(base + BigInt(offsets[name]));
    const [ip, cs, sp, flags] = [read("ip"), read("cs"), read("sp"), read("flags")];
    if (ip === undefined || cs === undefined || sp === undefined || flags === undefined)
      return false;
    // With an interrupt's own registers, the others are still those of the frame before.
    if (type === "regs") this.#register = read;
    const saved = { ip, cs: cs & 0xffffn, sp, flags };
    this.#ip = ip;
    this.#sp = sp;
    this.#isReturn = false;
    this.#isUserMode = isUserMode(saved);
    this.#steps.push({ ip, isReturn: false, at: base + BigInt(offsets.ip), saved });
    return true;
  }

  #restoreBp({ bpRegister, bpOffset }: OrcEntry, frame: bigint): boolean {
    const offset = BigInt(bpOffset);
    if (bpRegister === "undefined") {
      this.#bp = this.#register("bp") ?? this.#bp;
      return true;
    }
    const at = bpRegister === "previous-sp" ? frame + offset : add(this.#bp, offset);
    if (at === undefined || (bpRegister !== "previous-sp" && bpRegister !== "bp")) return false;
    this.#bp = this.#source.word(at);
    return this.#bp !== undefined;
  }
}

const add = (value: bigint | undefined, offset: bigint): bigint | undefined =>
  value === undefined ? undefined : BigInt.asUintN(64, value + offset);
