import { errno, SystemError } from "./errno.js";
import { allocate, lastErrno, libc } from "./libc.js";

/** IOV_MAX: the most pieces that one writev(2) takes. */
export const MAX_VECTOR = 1024;

/** struct iovec: base u64, length u64. */
const VECTOR_BYTES = 16;

/** One for every call of this thread: calls don't overlap. */
const { address: vector, bytes: vectorBytes } = allocate(VECTOR_BYTES * MAX_VECTOR);
const vectorFields = new BigUint64Array(vectorBytes.buffer);

/**
 * Bytes at an address outside of JavaScript's memory, where a guest may change them at any time. No ArrayBuffer is
 * made for them: V8 takes each one for memory that it is to answer for, and collects its garbage the sooner for it.
 * Good for as long as the memory is mapped.
 */
export class ForeignBytes {
  readonly address: number;
  readonly length: number;

  constructor(address: number, length: number) {
    this.address = address;
    this.length = length;
  }

  /** The bytes [from, to) of these, clamped to what there is. */
  subarray(from: number, to = this.length): ForeignBytes {
    const start = Math.min(from, this.length);
    return new ForeignBytes(this.address + start, Math.max(0, Math.min(to, this.length) - start));
  }

  copyTo(into: Uint8Array): void {
    libc.copyOut(into, this.address, Math.min(into.length, this.length));
  }

  copyFrom(bytes: Uint8Array): void {
    libc.copyIn(this.address, bytes, Math.min(bytes.length, this.length));
  }
}

/** Bytes, wherever they are. */
export type Bytes = Uint8Array | ForeignBytes;

/** A copy of all of them. */
export function copyOf(data: readonly Bytes[]): Buffer {
  const all = Buffer.allocUnsafe(data.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const one of data) {
    if (one instanceof ForeignBytes) one.copyTo(all.subarray(at, at + one.length));
    else all.set(one, at);
    at += one.length;
  }
  return all;
}

/** writev(2) of MAX_VECTOR pieces at most: how many bytes the kernel took. Throws the system call's error. */
export function writeForeign(fd: number, data: readonly ForeignBytes[]): number {
  data.forEach(({ address, length }, i) => {
    vectorFields[2 * i] = BigInt(address);
    vectorFields[2 * i + 1] = BigInt(length);
  });
  for (;;) {
    const count = libc.writev(fd, vector, data.length);
    if (count >= 0) return count;
    if (lastErrno() !== errno.EINTR) throw new SystemError("writev", lastErrno());
  }
}
