/** What x86-64's dump_kernel_offset() and arm64's of the same name print as a panic ends. */
const OFFSET = /Kernel Offset: (?:0x([0-9a-f]{1,16})|disabled)/;
const WITHOUT = /\bnokaslr\b/;

/**
 * By how many bytes KASLR moved the kernel up, as a log says; undefined where it doesn't, as that of an oops which
 * the kernel came back from.
 */
export function kernelOffset(lines: Iterable<Uint8Array>): bigint | undefined {
  let offset: bigint | undefined;
  for (const piece of lines) {
    const text = Buffer.from(piece.buffer, piece.byteOffset, piece.length).toString("latin1");
    const match = OFFSET.exec(text);
    if (match !== null) return BigInt(`0x${match[1] ?? "0"}`);
    if (WITHOUT.test(text)) offset = 0n;
  }
  return offset;
}
