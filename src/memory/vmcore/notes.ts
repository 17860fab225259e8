import { PRSTATUS, USER_REGISTER_NAMES } from "../registers.js";
import type { CoreFacts } from "./core-facts.js";

/** An ELF note: sizes of name and content, type, then both, each filled up to 4 bytes. */
function note(name: string, type: number, content: Buffer): Buffer {
  const padded = (bytes: number) => Math.ceil(bytes / 4) * 4;
  const nameBytes = name.length + 1;
  const all = Buffer.alloc(12 + padded(nameBytes) + padded(content.length));
  all.writeUInt32LE(nameBytes, 0);
  all.writeUInt32LE(content.length, 4);
  all.writeUInt32LE(type, 8);
  all.write(name, 12, "latin1");
  content.copy(all, 12 + padded(nameBytes));
  return all;
}

/** A core's notes: each CPU's registers, and VMCOREINFO. */
export function coreNotes({ registers, vmcoreInfo }: CoreFacts): Buffer {
  const cpus = registers.map((values, cpu) => {
    const status = Buffer.alloc(PRSTATUS.bytes);
    // As QEMU numbers them: drgn finds a CPU by it.
    status.writeInt32LE(cpu + 1, PRSTATUS.pidAt);
    for (const [i, name] of USER_REGISTER_NAMES.entries()) {
      status.writeBigUInt64LE(values[name], PRSTATUS.registersAt + 8 * i);
    }
    return note("CORE", PRSTATUS.TYPE, status);
  });
  return Buffer.concat([...cpus, note("VMCOREINFO", 0, vmcoreInfo)]);
}
