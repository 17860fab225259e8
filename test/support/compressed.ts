/** Pseudo-random numbers from 0 up to 1, the same for the same seed (xorshift32). */
export function numberSequence(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** Text that repeats itself as logs do. */
export function sampleText(random: () => number, bytes: number): Buffer {
  const lines: string[] = [];
  for (let length = 0; length < bytes; ) {
    const before = lines[Math.floor(random() * lines.length)];
    const line =
      before !== undefined && random() < 0.5
        ? before.slice(Math.floor(random() * before.length))
        : `<${Math.floor(random() * 8)}>[${(random() * 1e4).toFixed(6)}] ${random().toString(36)}\n`;
    lines.push(line);
    length += line.length + 1;
  }
  return Buffer.from(lines.join("\n")).subarray(0, bytes);
}

/** The same with a few bytes or bits changed, left out or added, or cut. */
export function mutated(random: () => number, data: Buffer): Buffer {
  let changed = Buffer.from(data);
  const below = (limit: number): number => Math.floor(random() * limit);
  for (let times = 1 + below(3); times > 0; times--) {
    const at = below(changed.length);
    switch (below(5)) {
      case 0:
        changed[at] = below(256);
        break;
      case 1:
        changed[at] = (changed[at] ?? 0) ^ (1 << below(8));
        break;
      case 2:
        changed = Buffer.concat([changed.subarray(0, at), changed.subarray(at + 1 + below(4))]);
        break;
      case 3:
        changed = Buffer.concat([
          changed.subarray(0, at),
          Uint8Array.of(below(256)),
          changed.subarray(at),
        ]);
        break;
      default:
        if (random() < 0.2) changed = changed.subarray(0, at);
    }
  }
  return changed;
}

/** What a kernel's pstore compresses with, and the format in which that is. */
export const compressors = [
  ["deflate", "deflate"],
  ["zstd", "zstd"],
  ["lzo", "lzo"],
  ["lz4", "lz4"],
  ["lz4hc", "lz4"],
  ["842", "842"],
] as const;
