import fc from "fast-check";
import { expect, test } from "vitest";
import { MemoryError } from "../errors.js";
import { Budget, type OrcEntry } from "../kernel/index.js";
import type { Registers } from "../registers.js";
import { type Stack, StackMemory } from "./stack-memory.js";
import { type Begin, type UnwindSource, unwind } from "./unwinder.js";

/** As struct pt_regs has them. */
const OFFSETS = {
  ...{ r13: 16, bp: 32, r10: 56, ax: 80, dx: 96, di: 112 },
  ...{ ip: 128, cs: 136, flags: 144, sp: 152 },
};

const TASK = 0xffffc90000004000n;
const IRQ = 0xffffc90000010000n;
const TEXT = 0xffffffff81000000n;
const BYTES = 4096;

const entry = (change: Partial<OrcEntry> = {}): OrcEntry => ({
  ...{ spRegister: "sp", spOffset: 8, bpRegister: "undefined", bpOffset: 0 },
  ...{ type: "call", signal: false },
  ...change,
});

/** Stacks, and tables that have an entry for each 16 bytes of code. */
class Tried {
  readonly bytes = { task: Buffer.alloc(BYTES), irq: Buffer.alloc(BYTES) };
  readonly budget = new Budget(100_000);
  readonly source: UnwindSource;

  constructor(entries: readonly (OrcEntry | undefined)[]) {
    const stacks: Stack[] = [
      { name: undefined, isUsed: true, start: TASK, bytes: this.bytes.task },
      { name: "IRQ", isUsed: true, start: IRQ, bytes: this.bytes.irq },
    ];
    const memory = new StackMemory(stacks);
    this.source = {
      orc: (address) => entries[Number((address - TEXT) >> 4n)],
      word: (address) => memory.word(address),
      isOneStack: (a, b) => memory.at(a) !== undefined && memory.at(a) === memory.at(b),
      offsets: OFFSETS,
      returnAddress: (address) => address,
      spend: (work) => {
        this.budget.spend(work);
      },
    };
  }

  put(address: bigint, value: bigint): void {
    const [bytes, start] =
      address >= IRQ ? [this.bytes.irq, IRQ] : ([this.bytes.task, TASK] as const);
    bytes.writeBigUInt64LE(value, Number(address - start));
  }

  unwind(begin: Partial<Begin> = {}): { ips: bigint[]; end: string } {
    const from = { ip: code(0), sp: TASK, bp: undefined, isReturn: true, ...begin };
    const { steps, end } = unwind(this.source, from);
    return { ips: steps.map(({ ip }) => ip), end };
  }
}

/** Behind a call in the function of that entry. */
const code = (index: number) => TEXT + BigInt(index * 16 + 5);

test("calls are followed to the stack's bottom", () => {
  const tried = new Tried([
    entry({ spOffset: 24 }),
    entry({ spOffset: 16 }),
    entry({ type: "end" }),
  ]);
  tried.put(TASK + 16n, code(1));
  tried.put(TASK + 32n, code(2));
  expect(tried.unwind()).toEqual({ ips: [code(0), code(1), code(2)], end: "bottom" });
});

test("a return address at a function's begin belongs to the one before", () => {
  const tried = new Tried([entry({ type: "end" }), undefined]);
  expect(tried.unwind({ ip: TEXT + 16n })).toEqual({ ips: [TEXT + 16n], end: "bottom" });
  // An interrupted instruction doesn't: without a table and without a frame pointer it is lost.
  expect(tried.unwind({ ip: TEXT + 16n, isReturn: false }).end).toBe("lost");
});

test("the frame pointer is restored, and used", () => {
  const tried = new Tried([
    entry({ spOffset: 24, bpRegister: "previous-sp", bpOffset: -16 }),
    entry({ spRegister: "bp", spOffset: 16, bpRegister: "previous-sp", bpOffset: -16 }),
    entry({ type: "end" }),
  ]);
  tried.put(TASK + 8n, TASK + 64n);
  tried.put(TASK + 16n, code(1));
  tried.put(TASK + 72n, code(2));
  expect(tried.unwind()).toEqual({ ips: [code(0), code(1), code(2)], end: "bottom" });
});

test("where no table tells, the code may keep a frame pointer", () => {
  const tried = new Tried([undefined, entry({ type: "end" })]);
  tried.put(TASK + 40n, code(1));
  expect(tried.unwind({ bp: TASK + 32n }).ips).toEqual([code(0), code(1)]);
  expect(tried.unwind().end).toBe("lost");
});

test("an interrupt is crossed from its stack to the task's, with all registers", () => {
  const tried = new Tried([
    entry({ spRegister: "bp-indirect", spOffset: -8 }),
    entry({ type: "regs", spOffset: 0, signal: true }),
    entry({ spRegister: "r13" }),
    entry({ type: "end" }),
  ]);
  // The interrupt's stack keeps where it goes on on the task's.
  tried.put(IRQ + 1024n - 8n, TASK + 256n);
  tried.put(TASK + 248n, code(1));
  const registers = {
    ip: code(2) - 1n,
    cs: 0x10n,
    flags: 0x246n,
    sp: TASK + 600n,
    r13: TASK + 704n,
  };
  for (const [name, value] of Object.entries(registers)) {
    tried.put(TASK + 256n + BigInt(OFFSETS[name as keyof Registers]), value);
  }
  // The task's function has its frame where r13 says.
  tried.put(TASK + 704n - 8n, code(3));
  const { steps, end } = unwind(tried.source, {
    ...{ ip: code(0), sp: IRQ + 512n, bp: IRQ + 1024n, isReturn: true },
  });
  expect(steps.map(({ ip }) => ip)).toEqual([code(0), code(1), code(2) - 1n, code(3)]);
  expect(steps[2]).toMatchObject({
    isReturn: false,
    at: TASK + 256n + 128n,
    saved: { ip: code(2) - 1n, cs: 0x10n, sp: TASK + 600n, flags: 0x246n },
  });
  expect(end).toBe("bottom");
});

test("a system call's registers are of the process: there it ends", () => {
  const tried = new Tried([entry({ type: "regs", spOffset: 8 })]);
  tried.put(TASK + 8n + 128n, 0x401000n);
  tried.put(TASK + 8n + 136n, 0x33n);
  tried.put(TASK + 8n + 152n, 0x7ffc0000n);
  expect(tried.unwind()).toEqual({ ips: [code(0), 0x401000n], end: "user mode" });
});

test("a call through a NULL pointer is crossed", () => {
  const tried = new Tried([entry({ type: "end" })]);
  tried.put(TASK, code(0));
  expect(tried.unwind({ ip: 0n, isReturn: false })).toEqual({ ips: [0n, code(0)], end: "bottom" });
});

test("wild pointers and tables end in bounded work", () => {
  const offset = fc.integer({ min: -32768, max: 32767 });
  const register = fc.constantFrom<OrcEntry["spRegister"]>(
    ...(["undefined", "previous-sp", "ax", "dx", "di", "bp", "sp", "r10", "r13"] as const),
    ...(["bp-indirect", "sp-indirect"] as const),
  );
  const any = fc.record({
    ...{ spRegister: register, spOffset: offset, bpRegister: register, bpOffset: offset },
    type: fc.constantFrom<OrcEntry["type"]>("undefined", "end", "call", "regs", "regs-partial"),
    signal: fc.boolean(),
  });
  const small = any.map((one) => ({ ...one, spOffset: one.spOffset % 64, bpOffset: -16 }));
  const word = fc.oneof(
    fc.integer({ min: 0, max: 63 }).map(code),
    fc.integer({ min: 0, max: BYTES }).map((at) => TASK + BigInt(at)),
    fc.integer({ min: 0, max: BYTES }).map((at) => IRQ + BigInt(at)),
    fc.bigInt(0n, 2n ** 64n - 1n),
  );
  fc.assert(
    fc.property(
      fc.array(fc.oneof(small, any), { minLength: 64, maxLength: 64 }),
      fc.array(word, { minLength: 64, maxLength: 64 }),
      word,
      (entries, words, bp) => {
        const tried = new Tried(entries);
        for (let at = 0; at < BYTES; at += 8) {
          tried.put(TASK + BigInt(at), words[(at / 8) % words.length] ?? 0n);
          tried.put(IRQ + BigInt(at), words[(at / 8 + 7) % words.length] ?? 0n);
        }
        tried.unwind({ bp });
        expect(tried.budget.left).toBeGreaterThan(100_000 - 4097);
      },
    ),
    { numRuns: 300 },
  );
});

test("a chain without an end ends where the work does", () => {
  // From one stack to the other and back.
  const loop = new Tried([entry({ spRegister: "sp-indirect", spOffset: 0 })]);
  loop.put(TASK + 64n, IRQ + 64n);
  loop.put(IRQ + 64n, TASK + 64n);
  loop.put(TASK + 56n, code(0));
  loop.put(IRQ + 56n, code(0));
  expect(loop.unwind({ sp: TASK + 64n })).toMatchObject({ end: "lost" });
  loop.budget.renew(10);
  expect(() => loop.unwind({ sp: TASK + 64n })).toThrow(MemoryError);
});
