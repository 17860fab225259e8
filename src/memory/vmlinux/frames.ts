import { MemoryError } from "../errors.js";
import type { OrcEntry, OrcRegister, OrcType } from "../kernel/index.js";
import { ByteWriter } from "./byte-writer.js";
import { CFA, OP, REGISTER } from "./dwarf-numbers.js";

type Register = keyof typeof REGISTER;

/** Where in struct pt_regs each register is, in bytes. */
export type RegisterOffsets = ReadonlyMap<Register, number>;

export const FRAME_REGISTERS = Object.keys(REGISTER) as readonly Register[];

const WORD = 8;
const VERSION = 4;
/** What a CIE has in place of the offset of one. */
const CIE_ID = 0xffffffff;
/** Behind them a new description begins, so that a debugger reads no more to find one address. */
const ROWS_AT_ONCE = 256;

/** What begins a description: how a frame of that type ends. Where nothing is known, there is none. */
type Kind = Exclude<OrcType, "undefined">;

/** .debug_frame, and how many rows it has. */
export interface Frames {
  readonly bytes: Buffer;
  readonly rows: number;
}

/**
 * The kernel's unwind table (ORC) as .debug_frame (DWARF 4, 6.4), which debuggers read whatever numbers a kernel's ORC
 * has for registers. `rows` ascend by address; those that don't are left out. What calls with CFI name the CFA is
 * here the end of a frame as ORC has it: behind the return address, or where registers are. Throws MemoryError where
 * `registers` aren't each at a word.
 */
export function debugFrame(
  rows: Iterable<readonly [address: bigint, entry: OrcEntry]>,
  registers: RegisterOffsets,
): Frames {
  for (const [name, offset] of registers) {
    if (offset % WORD === 0) continue;
    throw new MemoryError("DAMAGED", `struct pt_regs has ${name} at ${offset}, which is no word`);
  }
  const writer = new FrameWriter(registers);
  for (const [address, entry] of rows) writer.add(address, entry);
  return writer.end();
}

class FrameWriter {
  readonly #out = new ByteWriter();
  readonly #registers: RegisterOffsets;
  /** Where each kind's CIE is. */
  readonly #places = new Map<Kind, number>();
  readonly #written = new Map<OrcEntry, Buffer>();
  #fde: { readonly kind: Kind; readonly at: number; readonly start: bigint } | undefined;
  #last: { readonly address: bigint; readonly entry: OrcEntry } | undefined;
  #rowsOfFde = 0;
  #rows = 0;

  constructor(registers: RegisterOffsets) {
    this.#registers = registers;
  }

  add(address: bigint, entry: OrcEntry): void {
    const last = this.#last;
    if (last !== undefined && address <= last.address) return;
    if (last?.entry === entry) return;
    const kind = kindOf(entry);
    if (this.#fde?.kind !== kind || this.#rowsOfFde >= ROWS_AT_ONCE) {
      this.#endFde(address);
      if (kind !== undefined) this.#beginFde(kind, address);
    } else if (this.#fde !== undefined && last !== undefined) {
      this.#advance(address - last.address);
    }
    this.#last = { address, entry };
    if (kind === undefined) return;
    this.#rowsOfFde++;
    this.#rows++;
    if (kind !== "end") this.#out.bytes(this.#row(entry));
  }

  end(): Frames {
    this.#endFde((this.#last?.address ?? 0n) + 1n);
    return { bytes: this.#out.take(), rows: this.#rows };
  }

  #beginFde(kind: Kind, start: bigint): void {
    const cie = this.#cie(kind);
    const out = this.#out;
    this.#fde = { kind, at: out.length, start };
    this.#rowsOfFde = 0;
    out.u32(0);
    out.u32(cie);
    out.u64(start);
    // The length of what it is for is known at its end.
    out.u64(0n);
    if (isInterrupted(kind)) out.unsigned(0);
  }

  #endFde(end: bigint): void {
    if (this.#fde === undefined) return;
    const { at, start } = this.#fde;
    this.#out.putU64(end - start, at + 16);
    this.#close(at);
    this.#fde = undefined;
  }

  /** Fills up, and puts the length in front. */
  #close(at: number): void {
    const out = this.#out;
    while ((out.length - at) % WORD !== 0) out.u8(CFA.nop);
    out.putU32(out.length - at - 4, at);
  }

  #advance(distance: bigint): void {
    const out = this.#out;
    if (distance < 0x40n) {
      out.u8(CFA.advance | Number(distance));
    } else if (distance < 0x100n) {
      out.u8(CFA.advance1);
      out.u8(Number(distance));
    } else if (distance < 0x10000n) {
      out.u8(CFA.advance2);
      out.u16(Number(distance));
    } else {
      out.u8(CFA.advance4);
      out.u32(Number(BigInt.asUintN(32, distance)));
    }
  }

  #cie(kind: Kind): number {
    const known = this.#places.get(kind);
    if (known !== undefined) return known;
    const out = this.#out;
    const at = out.length;
    this.#places.set(kind, at);
    out.u32(0);
    out.u32(CIE_ID);
    out.u8(VERSION);
    // "S": the caller was interrupted, so that its address isn't one behind a call.
    out.text(isInterrupted(kind) ? "zS" : "");
    out.u8(WORD);
    out.u8(0);
    out.unsigned(1);
    out.signed(BigInt(-WORD));
    out.unsigned(REGISTER.ip);
    if (isInterrupted(kind)) out.unsigned(0);
    out.u8(CFA.defCfa);
    out.unsigned(REGISTER.sp);
    out.unsigned(WORD);
    this.#begin(kind);
    this.#close(at);
    return at;
  }

  /** What holds for all rows of a kind. */
  #begin(kind: Kind): void {
    const out = this.#out;
    const base = kind === "regs-partial" ? (this.#registers.get("ip") ?? 0) : 0;
    switch (kind) {
      case "end":
        // Where any register has a value, drgn shows one more frame.
        for (const name of FRAME_REGISTERS) {
          out.u8(CFA.undefined);
          out.unsigned(REGISTER[name]);
        }
        break;
      case "call":
        savedAt(out, REGISTER.ip, -WORD);
        out.u8(CFA.sameValue);
        out.unsigned(REGISTER.bp);
        break;
      case "regs":
      case "regs-partial":
        for (const [name, offset] of this.#registers) {
          // An interrupt itself saves no more than these.
          if (kind === "regs-partial" && name !== "ip" && name !== "sp") continue;
          savedAt(out, REGISTER[name], offset - base);
        }
        break;
    }
  }

  #row(entry: OrcEntry): Buffer {
    let row = this.#written.get(entry);
    if (row === undefined) {
      const out = new ByteWriter(32);
      frameEnd(out, entry);
      savedBp(out, entry);
      row = out.take();
      this.#written.set(entry, row);
    }
    return row;
  }
}

const isInterrupted = (kind: Kind): boolean => kind === "regs" || kind === "regs-partial";

/** Undefined where nothing is known of the frame. */
function kindOf({ type, spRegister }: OrcEntry): Kind | undefined {
  if (type === "undefined") return undefined;
  return type !== "end" && baseOf(spRegister) === undefined ? undefined : type;
}

function baseOf(register: OrcRegister): Register | undefined {
  switch (register) {
    case "undefined":
    case "previous-sp":
      return undefined;
    case "sp-indirect":
      return "sp";
    case "bp-indirect":
      return "bp";
    default:
      return register;
  }
}

/** A register is saved at a distance from the frame's end, in bytes. */
function savedAt(out: ByteWriter, register: number, offset: number): void {
  if (offset < 0) {
    out.u8(CFA.offset | register);
    out.unsigned(-offset / WORD);
  } else {
    out.u8(CFA.offsetExtendedSf);
    out.unsigned(register);
    out.signed(BigInt(-offset / WORD));
  }
}

/** As Linux's arch/x86/kernel/unwind_orc.c finds where a frame ends. */
function frameEnd(out: ByteWriter, { spRegister, spOffset }: OrcEntry): void {
  const base = baseOf(spRegister) ?? "sp";
  if ((spRegister === "sp" || spRegister === "bp") && spOffset >= 0) {
    out.u8(CFA.defCfa);
    out.unsigned(REGISTER[base]);
    out.unsigned(spOffset);
    return;
  }
  const expression = new ByteWriter(32);
  const at = (offset: number) => {
    expression.u8(OP.breg + REGISTER[base]);
    expression.signed(BigInt(offset));
  };
  switch (spRegister) {
    case "sp":
    case "bp":
      at(spOffset);
      break;
    case "sp-indirect":
      at(0);
      expression.u8(OP.deref);
      expression.u8(OP.consts);
      expression.signed(BigInt(spOffset));
      expression.u8(OP.plus);
      break;
    case "bp-indirect":
      at(spOffset);
      expression.u8(OP.deref);
      break;
    default:
      at(0);
  }
  out.u8(CFA.defCfaExpression);
  out.unsigned(expression.length);
  out.bytes(expression.take());
}

function savedBp(out: ByteWriter, { bpRegister, bpOffset }: OrcEntry): void {
  if (bpRegister === "previous-sp" && bpOffset % WORD === 0) {
    savedAt(out, REGISTER.bp, bpOffset);
  } else if (bpRegister === "bp") {
    const expression = new ByteWriter(32);
    expression.u8(OP.breg + REGISTER.bp);
    expression.signed(BigInt(bpOffset));
    out.u8(CFA.expression);
    out.unsigned(REGISTER.bp);
    out.unsigned(expression.length);
    out.bytes(expression.take());
  } else {
    out.u8(CFA.restore | REGISTER.bp);
  }
}
