import type { Registers } from "../registers.js";

const NT_PRSTATUS = 1;
/** Where in struct elf_prstatus of x86-64 the registers are, 27 of 8 bytes (struct user_regs_struct). */
const REGISTERS_AT = 112;
const REGISTERS_BYTES = 27 * 8;

/** The number of each in struct user_regs_struct. */
const NUMBERS: Readonly<Record<keyof Registers, number>> = {
  ...{ r13: 2, bp: 4, r10: 7, ax: 10, dx: 12, di: 14 },
  ...{ ip: 16, cs: 17, flags: 18, sp: 19 },
};

/** The most notes that are read. */
const MAX_NOTES = 1 << 16;

/** The CPUs' registers in a core's notes (elf(5)), by the CPUs' numbers: a note for each, in their order. */
export function coreRegisters(notes: Buffer): Map<number, Registers> {
  const cpus = new Map<number, Registers>();
  for (let at = 0, read = 0; at + 12 <= notes.length && read < MAX_NOTES; read++) {
    const [nameBytes, size, type] = [0, 4, 8].map((offset) => notes.readUInt32LE(at + offset));
    if (nameBytes === undefined || size === undefined) break;
    const content = at + 12 + Math.ceil(nameBytes / 4) * 4;
    const name = notes.toString("latin1", at + 12, Math.min(at + 12 + nameBytes, notes.length));
    const isWhole = content + size <= notes.length;
    if (name === "CORE\0" && type === NT_PRSTATUS && isWhole) {
      if (size >= REGISTERS_AT + REGISTERS_BYTES) {
        cpus.set(cpus.size, registersAt(notes, content + REGISTERS_AT));
      }
    }
    at = content + Math.ceil(size / 4) * 4;
  }
  return cpus;
}

function registersAt(notes: Buffer, at: number): Registers {
  const entries = Object.entries(NUMBERS).map(
    ([name, number]) => [name, notes.readBigUInt64LE(at + number * 8)] as const,
  );
  return Object.fromEntries(entries) as Record<keyof Registers, bigint>;
}
