import { fstatSync } from "node:fs";
import { check } from "./check.js";
import { errno, SystemError } from "./errno.js";
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

/**
 * A window's length. An ArrayBuffer can't span a large region (Node 20 ends at 4 GiB), so a mapping
 * is seen through windows of this many bytes, made when they are first touched.
 */
const WINDOW_BYTES = 1 << 30;

/** A shared, writable mapping of part of a file, for regions of any size. */
export class Mapping {
  readonly #address: bigint;
  readonly #length: bigint;
  /** Bytes between the mapping's start and the first byte asked for: mmap(2) wants whole pages. */
  readonly #lead: bigint;
  readonly #windows: (Uint8Array | undefined)[] = [];
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
    const address = BigInt(
      libc.mmap(null, this.#length, PROT_READ_WRITE, MAP_SHARED, fd, offset - this.#lead),
    );
    if (address === -1n) throw new SystemError("mmap", lastErrno(), `of ${length} bytes`);
    this.#address = address;
  }

  /**
   * The bytes [offset, offset + length) as views, usually one, two where a window's edge is crossed.
   * The caller has checked the bounds, and drops the views before unmap().
   */
  views(offset: bigint, length: number): Uint8Array[] {
    const views: Uint8Array[] = [];
    const from = this.#lead + offset;
    let index = Number(from / BigInt(WINDOW_BYTES));
    let start = Number(from % BigInt(WINDOW_BYTES));
    for (let left = length; left > 0; index++, start = 0) {
      const take = Math.min(left, WINDOW_BYTES - start);
      views.push(this.#window(index).subarray(start, start + take));
      left -= take;
    }
    return views;
  }

  /** The bytes [offset, offset + length) as one view of their own, whatever windows they lie in. */
  contiguous(offset: bigint, length: number): ArrayBuffer {
    if (!this.#mapped) throw new Error("the mapping is gone");
    return viewAt(this.#address + this.#lead + offset, length);
  }

  /** munmap(2). A view that is used afterwards crashes the process. */
  unmap(): void {
    if (!this.#mapped) return;
    this.#mapped = false;
    this.#windows.length = 0;
    libc.munmap(this.#address, this.#length);
  }

  #window(index: number): Uint8Array {
    if (!this.#mapped) throw new Error("the mapping is gone");
    const known = this.#windows[index];
    if (known !== undefined) return known;
    const start = BigInt(index) * BigInt(WINDOW_BYTES);
    const left = this.#length - start;
    const length = left < BigInt(WINDOW_BYTES) ? Number(left) : WINDOW_BYTES;
    const window = new Uint8Array(viewAt(this.#address + start, length));
    this.#windows[index] = window;
    return window;
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
