import { type BigIntStats, closeSync } from "node:fs";
import { MemoryError } from "../errors.js";
import type { Extent } from "../physical-memory.js";
import { FileBacking } from "./file.js";
import { MappedMemory, type Piece } from "./mapped-memory.js";
import { openChecked } from "./open-checked.js";

/** A run of guest memory in a file that another process has open. */
export interface SharedExtent extends Extent {
  /** The process's descriptor of the file. */
  readonly fd: number;
  /** Where in the file it begins, in bytes. */
  readonly offset: number;
  /** Which file it is: st_dev and st_ino. */
  readonly device: bigint;
  readonly inode: bigint;
}

/** A guest's memory as its VMM shares it with another process, which says where it is. */
export interface SharedMemory {
  readonly pid: number;
  /** They don't overlap. */
  readonly extents: readonly SharedExtent[];
}

/** Opens the files of shared memory by the descriptors of the process that has them. Throws MemoryError. */
export function openShared({ pid, extents }: SharedMemory): MappedMemory {
  const opened: number[] = [];
  const close = () => {
    for (const fd of opened.splice(0)) closeSync(fd);
  };
  try {
    const pieces = extents.map((extent): Piece => {
      const fd = openExtent(pid, extent);
      opened.push(fd);
      const { start, size, offset } = extent;
      return { start, size, backing: new FileBacking(fd, "the shared memory"), at: offset };
    });
    return new MappedMemory(pieces, close);
  } catch (error) {
    close();
    throw error;
  }
}

/** Only a file that is the right one is opened: the number may be another's by now, or a device's. */
function openExtent(pid: number, { fd, device, inode }: SharedExtent): number {
  const isSame = ({ dev, ino }: BigIntStats) => {
    if (dev !== device || ino !== inode) throw gone(pid);
    return true;
  };
  try {
    const opened = openChecked(`/proc/${pid}/fd/${fd}`, isSame);
    if (opened !== undefined) return opened;
  } catch (error) {
    throw openError(pid, error);
  }
  throw new MemoryError(
    "NOT_MEMORY",
    "what the VMM shares is no file: read its process, with --pid",
  );
}

function openError(pid: number, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOENT" || code === "ESRCH") return gone(pid);
  if (code === "EACCES" || code === "EPERM") {
    return new MemoryError(
      "NO_RIGHT",
      `the memory that the daemon, process ${pid}, has open may not be read: be the daemon's user, or root`,
    );
  }
  return error;
}

const gone = (pid: number): MemoryError =>
  new MemoryError(
    "ENDED",
    `the daemon, process ${pid}, doesn't have that memory open any more: try again, and where it runs in a container, there`,
  );
