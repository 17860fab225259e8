import { errno, SystemError } from "./errno.js";
import { lastErrno, libc } from "./libc.js";
import type { Mapping } from "./mapping.js";

const MSG_CTRUNC = 0x8;
const MSG_DONTWAIT = 0x40;

/**
 * struct mmsghdr (LP64: msg_iov 16, msg_iovlen 24, msg_control 32, msg_flags 48, msg_len 56), and its iovec
 * (base u64, length u64) behind it.
 */
const FLAGS = 48;
const LENGTH = 56;
const IOVEC = 64;
const NOTE_BYTES = IOVEC + 16;

/**
 * Receives from a socket into a mapping of a file, and has the kernel itself note there what came: in the
 * same system call, so that a process that is killed leaves to the next one either both or neither.
 */
export class NotedReceive {
  readonly #mapping: Mapping;
  readonly #address: number;
  readonly #note: DataView;

  /** The note takes 80 bytes from `offset` on, which is a multiple of 8. */
  constructor(mapping: Mapping, offset: bigint) {
    this.#mapping = mapping;
    this.#address = mapping.bytes(offset, NOTE_BYTES).address;
    this.#note = new DataView(mapping.view(offset, NOTE_BYTES));
  }

  /** Says where in the mapping the next receive() puts how many bytes at most. What is noted is forgotten. */
  prepare(offset: bigint, length: number): void {
    const note = this.#note;
    for (let at = 0; at < NOTE_BYTES; at += 8) note.setBigUint64(at, 0n, true);
    note.setBigUint64(16, BigInt(this.#address + IOVEC), true);
    note.setBigUint64(24, 1n, true);
    note.setBigUint64(IOVEC, BigInt(this.#mapping.bytes(offset, length).address), true);
    note.setBigUint64(IOVEC + 8, BigInt(length), true);
  }

  /**
   * recvmmsg(2) of what was prepared, without room for descriptors: the kernel closes any that come. False
   * where nothing waits; no bytes at the end of the stream.
   */
  receive(fd: number): boolean {
    if (this.#receive(fd)) return true;
    let number = lastErrno();
    // Told before what waits, and once: its sender has closed without reading all that it was sent.
    if (number === errno.ECONNRESET) {
      if (this.#receive(fd)) return true;
      number = lastErrno();
    }
    if (number === errno.EAGAIN || number === errno.EINTR) return false;
    throw new SystemError("recvmmsg", number);
  }

  #receive(fd: number): boolean {
    return libc.recvmmsg(fd, this.#address, 1, MSG_DONTWAIT, null) >= 0;
  }

  /** How many bytes came. */
  get bytes(): number {
    return this.#note.getUint32(LENGTH, true);
  }

  /** Whether descriptors came with them, on a socket that was given to makePlainStream(). */
  get descriptors(): boolean {
    return (this.#note.getUint32(FLAGS, true) & MSG_CTRUNC) !== 0;
  }
}
