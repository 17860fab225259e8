import { fstatSync } from "node:fs";
import { check } from "./check.js";
import { errno, SystemError } from "./errno.js";
import { ForeignBytes } from "./foreign-bytes.js";
import { lastErrno, libc, viewAt } from "./libc.js";

const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;
const F_SEAL_SHRINK = 2;
const F_SEAL_GROW = 4;
const PAGE_BYTES = 4096n;

/** A shared, writable mapping of part of a file, for regions of any size. */
export class Mapping {
  readonly #address: number;
  readonly #length: bigint;
  /** Bytes between the mapping's start and the first byte asked for: mmap(2) wants whole pages. */
  readonly #lead: bigint;
  #mapped = true;

  /**
   * Maps `length` bytes of `fd` from `offset`. The descriptor may be closed afterwards. Throws where
   * the file is shorter than that: touching what lies behind a file's end would end the process with
   * SIGBUS.
   */
  constructor(fd: number, offset: bigint, length: bigint) {
    const { size, blksize } = fstatSync(fd, { bigint: true });
    if (offset + length > size) {
      const range = `of ${length} bytes at offset ${offset} of a file of ${size}`;
      throw new SystemError("mmap", errno.EINVAL, range);
    }
    // A file of huge pages tells their size as its block size, and wants it as the unit here.
    const page = blksize > PAGE_BYTES ? blksize : PAGE_BYTES;
    this.#lead = offset % page;
    this.#length = ((this.#lead + length + page - 1n) / page) * page;
    const start = offset - this.#lead;
    const address = Number(libc.mmap(null, this.#length, PROT_READ_WRITE, MAP_SHARED, fd, start));
    if (address === -1) throw new SystemError("mmap", lastErrno(), `of ${length} bytes`);
    this.#address = address;
  }

  /** The bytes [offset, offset + length), of which the caller has checked that they are there. */
  bytes(offset: bigint, length: number): ForeignBytes {
    return new ForeignBytes(this.#addressOf(offset), length);
  }

  /**
   * The same as an ArrayBuffer, for what is read and written all the time: making one costs more than most of what
   * can be done with it.
   */
  view(offset: bigint, length: number): ArrayBuffer {
    return viewAt(this.#addressOf(offset), length);
  }

  /** munmap(2). Bytes and views that are used afterwards crash the process. */
  unmap(): void {
    if (!this.#mapped) return;
    this.#mapped = false;
    libc.munmap(this.#address, this.#length);
  }

  #addressOf(offset: bigint): number {
    if (!this.#mapped) throw new Error("the mapping is gone");
    return this.#address + Number(this.#lead + offset);
  }
}

/** A new memfd_create(2) file. Give it a length with fs.ftruncateSync. */
export function createMemfd(name: string): number {
  return check(libc.memfdCreate(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create");
}

/** Has a memfd keep its length for good. */
export function sealLength(fd: number): void {
  check(libc.fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), "fcntl", "F_ADD_SEALS");
}

/** Whether nobody can shorten a file any more. Only memfds can say so. */
export function cannotShrink(fd: number): boolean {
  const seals = libc.fcntl(fd, F_GET_SEALS, 0);
  return seals >= 0 && (seals & F_SEAL_SHRINK) !== 0;
}
