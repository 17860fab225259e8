/** BTF of types that are made of words, and whose names are in `strings`. */
export function btfOf(words: readonly number[], strings = "\0"): Buffer {
  const header = Buffer.alloc(24);
  const types = Buffer.alloc(words.length * 4);
  for (const [i, word] of words.entries()) types.writeUInt32LE(word >>> 0, i * 4);
  header.writeUInt16LE(0xeb9f, 0);
  for (const [i, word] of [24, 0, types.length, types.length, strings.length].entries()) {
    header.writeUInt32LE(word, 4 + i * 4);
  }
  return Buffer.concat([header, types, Buffer.from(strings, "latin1")]);
}

/** A type's second word: its kind, and how many elements follow. */
export const info = (kind: number, count = 0): number => kind * 2 ** 24 + count;
