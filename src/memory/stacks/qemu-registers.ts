import { USER_REGISTER_NAMES, type UserRegisters } from "../registers.js";

/** What stands before each in QEMU's text; a segment's base stands behind its selector. */
const BEFORE: Readonly<Record<Exclude<keyof UserRegisters, "orig_ax">, string>> = {
  ...{ ax: "RAX=", bx: "RBX=", cx: "RCX=", dx: "RDX=", si: "RSI=", di: "RDI=" },
  ...{ bp: "RBP=", sp: "RSP=", r8: "R8 =", r9: "R9 =", r10: "R10=", r11: "R11=" },
  ...{ r12: "R12=", r13: "R13=", r14: "R14=", r15: "R15=", ip: "RIP=", flags: "RFL=" },
  ...{ cs: "CS =", ss: "SS =", ds: "DS =", es: "ES =", fs: "FS =", gs: "GS =" },
  ...{ fs_base: "FS =[0-9a-f]{4} ", gs_base: "GS =[0-9a-f]{4} " },
};

/** A core has the number of the system call there, or -1; QEMU doesn't know of any. */
const NO_SYSTEM_CALL = 0xffffffffffffffffn;

/** A CPU as QEMU's monitor tells of it. */
export interface QemuCpu {
  readonly registers: UserRegisters;
  /** It waits for an interrupt. */
  readonly isHalted: boolean;
}

/** What QEMU's monitor answers to `info registers -a`, by the CPUs' numbers; those that it doesn't tell whole aren't there. */
export function parseRegisters(text: string): Map<number, QemuCpu> {
  const cpus = new Map<number, QemuCpu>();
  for (const part of text.split(/^CPU#/m).slice(1)) {
    const cpu = /^[0-9]{1,4}/.exec(part)?.[0];
    const registers: Partial<Record<keyof UserRegisters, bigint>> = { orig_ax: NO_SYSTEM_CALL };
    for (const [name, before] of Object.entries(BEFORE) as [keyof UserRegisters, string][]) {
      const value = new RegExp(`(?:^|\\s)${before}([0-9a-f]{4,16})(?![0-9a-f])`).exec(part)?.[1];
      if (value !== undefined) registers[name] = BigInt(`0x${value}`);
    }
    if (cpu === undefined || !USER_REGISTER_NAMES.every((name) => name in registers)) continue;
    cpus.set(Number(cpu), {
      registers: registers as UserRegisters,
      isHalted: / HLT=1/.test(part),
    });
  }
  return cpus;
}
