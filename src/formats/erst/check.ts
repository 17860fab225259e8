import type { ErstFile } from "./erst-file.js";
import type { ErstHeader } from "./header.js";

/** What is wrong with a store as a whole or with single slots, one line each; its header is read. */
export function findDamage(file: ErstFile, header: ErstHeader): string[] {
  const slots = file.slots(header);
  const damage = slots.flatMap((slot) => slot.damage ?? []);
  for (const [i, { id, index }] of slots.entries()) {
    const before = slots[i - 1];
    if (before?.id !== id) continue;
    damage.push(`slots ${before.index} and ${index} have the same id, 0x${id.toString(16)}`);
  }
  // QEMU looks for no more records than the header counts.
  if (slots.length !== header.recordCount) {
    damage.push(`offset 20: ${header.recordCount} records counted, and ${slots.length} in the map`);
  }
  return damage;
}
