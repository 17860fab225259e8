import { firstEndingBehind, merged } from "../extents.js";
import type { Extent, PhysicalMemory } from "../physical-memory.js";
import type { UserRegisters } from "../registers.js";

/** Bytes that hold a part of a guest's memory: a file, or a process's address space. */
export interface Backing {
  /** The parts of [at, at + size) that hold anything. */
  data(at: number, size: number): Extent[];
  /** Fills `into` with what is at `at`; a hole is zeros. Throws MemoryError where it isn't there any more. */
  read(at: number, into: Buffer): void;
}

/** Where a run of guest memory lies in a backing. */
export interface Piece extends Extent {
  readonly backing: Backing;
  readonly at: number;
}

/** Guest memory that lies somewhere as it is, in pieces. */
export class MappedMemory implements PhysicalMemory {
  readonly regions: readonly Extent[];
  readonly registers: ReadonlyMap<number, UserRegisters>;
  readonly #pieces: readonly Piece[];
  readonly #close: () => void;

  /** `pieces` don't overlap. */
  constructor(
    pieces: readonly Piece[],
    close: () => void,
    registers: ReadonlyMap<number, UserRegisters> = new Map(),
  ) {
    this.registers = registers;
    this.#pieces = [...pieces].sort((a, b) => a.start - b.start);
    this.regions = merged(this.#pieces);
    this.#close = close;
  }

  extents(): Extent[] {
    const found: Extent[] = [];
    for (const [backing, pieces] of this.#byBacking()) {
      // Asked once: where data ends is looked for from each place anew.
      const begin = pieces.reduce((least, { at }) => Math.min(least, at), Number.POSITIVE_INFINITY);
      const end = pieces.reduce((most, { at, size }) => Math.max(most, at + size), 0);
      const data = backing.data(begin, end - begin);
      for (const { start, size, at } of pieces) {
        for (let i = firstEndingBehind(data, at); ; i++) {
          const part = data[i];
          if (part === undefined || part.start >= at + size) break;
          const from = Math.max(part.start, at);
          const to = Math.min(part.start + part.size, at + size);
          found.push({ start: from - at + start, size: to - from });
        }
      }
    }
    return merged(found);
  }

  #byBacking(): ReadonlyMap<Backing, readonly Piece[]> {
    const all = new Map<Backing, Piece[]>();
    for (const piece of this.#pieces) {
      const others = all.get(piece.backing);
      if (others === undefined) all.set(piece.backing, [piece]);
      else others.push(piece);
    }
    return all;
  }

  read(address: number, into: Buffer): number {
    let done = 0;
    for (let i = firstEndingBehind(this.#pieces, address); done < into.length; i++) {
      const next = address + done;
      const piece = this.#pieces[i];
      if (piece === undefined || next < piece.start) break;
      const { start, size, backing, at } = piece;
      const count = Math.min(into.length - done, start + size - next);
      backing.read(at + next - start, into.subarray(done, done + count));
      done += count;
    }
    return done;
  }

  close(): void {
    this.#close();
  }
}
