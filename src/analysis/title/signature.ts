import { crypto } from "../../os/builtins.js";

/** Which CPU hangs differs from time to time. */
const HUNG_CPU = /^(hung: CPU) \d{1,5}\b/;

/**
 * By what the same bug is known again: 16 hexadecimal digits of the SHA-256 of its title. That holds no
 * address, offset or number of a boot, nor what a compiler adds to names. Of the trace nothing more goes
 * in: what is inlined, and how much of a report is left, would give one bug several signatures.
 */
export const signatureOf = (title: string): string =>
  crypto().createHash("sha256").update(title.replace(HUNG_CPU, "$1")).digest("hex").slice(0, 16);
