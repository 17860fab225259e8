import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { systemReason } from "../../os/errno.js";
import { MemoryError } from "../errors.js";
import { KDUMP } from "../kdump-format.js";
import type { PhysicalMemory } from "../physical-memory.js";
import { elfCore } from "./elf-core.js";
import { FileBacking, fileMemory } from "./file.js";
import { FlattenedBacking } from "./flattened.js";
import { KdumpCore } from "./kdump.js";
import { layoutsOf, parseLayout } from "./layout.js";
import type { Backing } from "./mapped-memory.js";

const PAGE_BYTES = 4096;

export interface OpenOptions {
  /** Where the guest's memory is; a machine, or START+SIZE,… in the order of the memory file. */
  readonly layout?: string;
  /**
   * Whether there is a kernel in that memory, and where it has its memory. Asked only where several layouts are
   * possible; without it, and where it says so of none, the likeliest is taken.
   */
  readonly fits?: (memory: PhysicalMemory) => boolean;
}

/** Opens a memory file or a core. Throws MemoryError, or the error of a system call on the file. */
export function openFile(path: string, options: OpenOptions = {}): PhysicalMemory {
  // Without O_NONBLOCK a FIFO waits here for somebody who writes.
  const fd = open(path);
  try {
    const status = fstatSync(fd);
    if (!status.isFile()) {
      throw new MemoryError("NOT_MEMORY", "it is no file: name a memory file or a core");
    }
    if (options.layout !== undefined) {
      return fileMemory(fd, "the memory file", parseLayout(options.layout, status.size));
    }
    return coreIn(fd, status.size) ?? plainMemory(fd, status.size, options.fits);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function open(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EACCES" && code !== "EPERM") throw error;
    throw new MemoryError(
      "NO_RIGHT",
      `it can't be read (${systemReason(error)}): be the user who owns it, or root`,
    );
  }
}

function coreIn(fd: number, size: number): PhysicalMemory | undefined {
  if (size < PAGE_BYTES) return undefined;
  const close = () => {
    closeSync(fd);
  };
  let backing: Backing = new FileBacking(fd, "the core");
  const begin = Buffer.alloc(16);
  backing.read(0, begin);
  if (begin.toString("latin1", 0, 13) === "makedumpfile\0") {
    backing = new FlattenedBacking(backing);
    backing.read(0, begin);
  }
  if (begin.toString("latin1", 0, 4) === "\x7fELF") return elfCore(backing, close);
  if (begin.toString("latin1", 0, 8) === KDUMP.SIGNATURE) return new KdumpCore(backing, close);
  return undefined;
}

function plainMemory(fd: number, size: number, fits: OpenOptions["fits"]): PhysicalMemory {
  if (size === 0 || size % PAGE_BYTES !== 0) {
    throw new MemoryError(
      "NOT_MEMORY",
      `a guest's memory is whole pages, and this has ${size} bytes: name a memory file or a core`,
    );
  }
  return bestOf(
    layoutsOf(size).map((layout) => fileMemory(fd, "the memory file", layout)),
    fits,
  );
}

/** The first of several that fits; the first where none does. They share what closes them. */
export function bestOf<T extends PhysicalMemory>(
  [first, ...others]: readonly T[],
  fits: OpenOptions["fits"],
): T {
  if (first === undefined) throw new Error("there is no layout");
  if (others.length === 0 || fits === undefined) return first;
  return [first, ...others].find(fits) ?? first;
}
