import { closeSync, readSync } from "node:fs";
import { nextData } from "../../os/index.js";
import { MemoryError } from "../errors.js";
import { partsUpTo } from "../extents.js";
import type { Extent } from "../physical-memory.js";
import { type Backing, MappedMemory } from "./mapped-memory.js";

/** A file of a memory backend, a memfd, or POSIX shared memory. Its holes are left alone: read(2) makes no pages there. */
export class FileBacking implements Backing {
  readonly #fd: number;
  readonly #name: string;

  /** `name` is for messages. The descriptor stays the caller's. */
  constructor(fd: number, name: string) {
    this.#fd = fd;
    this.#name = name;
  }

  data(at: number, size: number): Extent[] {
    return partsUpTo(this.#parts(at, at + size), at + size);
  }

  *#parts(start: number, end: number): Generator<Extent, void, void> {
    for (let next = start; ; ) {
      const found = nextData(this.#fd, next, end);
      if (found === undefined) return;
      yield { start: found.start, size: found.end - found.start };
      next = found.end;
    }
  }

  read(at: number, into: Buffer): void {
    readWhole(this.#fd, at, into, this.#name);
  }
}

/** Reads all of `into`; throws MemoryError where the file ends before. */
export function readWhole(fd: number, at: number, into: Buffer, name: string): void {
  for (let done = 0; done < into.length; ) {
    const count = readSync(fd, into, done, into.length - done, at + done);
    if (count === 0) {
      throw new MemoryError("ENDED", `${name} ends at ${at + done} bytes: it was cut short`);
    }
    done += count;
  }
}

/** A file's bytes as guest memory, laid out so. The descriptor is closed with it. */
export function fileMemory(fd: number, name: string, layout: readonly Extent[]): MappedMemory {
  const backing = new FileBacking(fd, name);
  let at = 0;
  const pieces = layout.map((extent) => {
    at += extent.size;
    return { ...extent, backing, at: at - extent.size };
  });
  return new MappedMemory(pieces, () => {
    closeSync(fd);
  });
}
