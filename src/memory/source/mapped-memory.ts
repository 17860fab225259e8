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
    return merged(
      this.#pieces.flatMap(({ start, size, backing, at }) =>
        backing
          .data(at, size)
          .map((found) => ({ start: found.start - at + start, size: found.size })),
      ),
    );
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
