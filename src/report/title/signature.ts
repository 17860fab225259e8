import { createHash } from "node:crypto";

/**
 * By what the same bug is known again: 16 hexadecimal digits of the SHA-256 of its kind, its title and
 * the function that called the one which the title blames. None of them holds an address, an offset
 * or a number of that boot, nor what a compiler adds to names. The title alone would take all that
 * ends in one much-used function for one bug; more than one caller would tell apart what came to the
 * same place by different ways, and what compilers inlined differently.
 */
export function signatureOf(kind: string, title: string, caller: string): string {
  return createHash("sha256").update(`${kind}\n${title}\n${caller}`).digest("hex").slice(0, 16);
}
