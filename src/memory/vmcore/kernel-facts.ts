import type { Kernel } from "../kernel/index.js";
import type { UserRegisters } from "../registers.js";
import { UTS_FIELD_BYTES, UTS_FIELDS } from "../utsname.js";
import type { CoreFacts } from "./core-facts.js";

/** What a core says of the kernel in it. Throws MemoryError where the kernel doesn't tell where it is. */
export function coreFacts(kernel: Kernel): CoreFacts {
  const { info } = kernel;
  const start = kernel.expectSymbol("_text");
  const physical = kernel.translate(start) ?? 0;
  const name = info.expectSymbol("init_uts_ns") + BigInt(info.offset("uts_namespace.name") ?? 0);
  return {
    vmcoreInfo: Buffer.from(info.text, "latin1"),
    directMap: kernel.pointer(kernel.expectSymbol("page_offset_base")),
    image: { virtual: start, physical, size: Number(kernel.expectSymbol("_end") - start) },
    physBase: info.number("phys_base") ?? 0n,
    uts: Array.from({ length: UTS_FIELDS }, (_, i) =>
      kernel.text(name + BigInt(i * UTS_FIELD_BYTES), UTS_FIELD_BYTES),
    ),
    registers: [],
  };
}

/**
 * The registers of the CPUs by their numbers, as a core has them: a note for each CPU, without its number. Behind one
 * that isn't known, they would be another's.
 */
export function registersFromFirst(registers: ReadonlyMap<number, UserRegisters>): UserRegisters[] {
  const list: UserRegisters[] = [];
  for (let one = registers.get(0); one !== undefined; one = registers.get(list.length))
    list.push(one);
  return list;
}
