import { PRSTATUS, USER_REGISTER_NAMES, type UserRegisters } from "../registers.js";

const REGISTERS_BYTES = USER_REGISTER_NAMES.length * 8;

/** The most of a core's notes that is to be read: a CPU's takes 356 bytes. */
export const MAX_NOTE_BYTES = 4 << 20;

/** The most notes that are read. */
const MAX_NOTES = 1 << 16;

/** The CPUs' registers in a core's notes (elf(5)), by the CPUs' numbers: a note for each, in their order. */
export function coreRegisters(notes: Buffer): Map<number, UserRegisters> {
  const cpus = new Map<number, UserRegisters>();
  for (let at = 0, read = 0; at + 12 <= notes.length && read < MAX_NOTES; read++) {
    const [nameBytes, size, type] = [0, 4, 8].map((offset) => notes.readUInt32LE(at + offset));
    if (nameBytes === undefined || size === undefined) break;
    const content = at + 12 + Math.ceil(nameBytes / 4) * 4;
    const name = notes.toString("latin1", at + 12, Math.min(at + 12 + nameBytes, notes.length));
    const isWhole = content + size <= notes.length;
    if (name === "CORE\0" && type === PRSTATUS.TYPE && isWhole) {
      if (size >= PRSTATUS.registersAt + REGISTERS_BYTES) {
        cpus.set(cpus.size, registersAt(notes, content + PRSTATUS.registersAt));
      }
    }
    at = content + Math.ceil(size / 4) * 4;
  }
  return cpus;
}

function registersAt(notes: Buffer, at: number): UserRegisters {
  const entries = USER_REGISTER_NAMES.map(
    (name, number) => [name, notes.readBigUInt64LE(at + number * 8)] as const,
  );
  return Object.fromEntries(entries) as Record<keyof UserRegisters, bigint>;
}
