import type { Registers } from "../registers.js";

/** QEMU's names of what an unwinder needs. */
const NAMES: Readonly<Record<keyof Registers, string>> = {
  ...{ ip: "RIP", sp: "RSP", flags: "RFL", cs: "CS" },
  ...{ bp: "RBP", ax: "RAX", dx: "RDX", di: "RDI", r10: "R10", r13: "R13" },
};

/** A CPU as QEMU's monitor tells of it. */
export interface QemuCpu {
  readonly registers: Registers;
  /** It waits for an interrupt. */
  readonly isHalted: boolean;
}

/** What QEMU's monitor answers to `info registers -a`, by the CPUs' numbers; those that it doesn't tell whole aren't there. */
export function parseRegisters(text: string): Map<number, QemuCpu> {
  const cpus = new Map<number, QemuCpu>();
  for (const part of text.split(/^CPU#/m).slice(1)) {
    const cpu = /^[0-9]{1,4}/.exec(part)?.[0];
    const registers: Partial<Record<keyof Registers, bigint>> = {};
    const names = Object.entries(NAMES) as [keyof Registers, string][];
    for (const [name, theirs] of names) {
      const value = new RegExp(`(?:^|\\s)${theirs} *=([0-9a-f]{4,16})(?![0-9a-f])`).exec(part)?.[1];
      if (value !== undefined) registers[name] = BigInt(`0x${value}`);
    }
    if (cpu === undefined || !names.every(([name]) => registers[name] !== undefined)) continue;
    cpus.set(Number(cpu), { registers: registers as Registers, isHalted: / HLT=1/.test(part) });
  }
  return cpus;
}
