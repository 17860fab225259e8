import { randomUUID } from "node:crypto";
import {
  closeDescriptor,
  errno,
  messagePair,
  readInto,
  receive,
  SystemError,
  send,
} from "../../os/index.js";

/** The longest key; ours are far shorter. */
const MAX_KEY_BYTES = 128;

/**
 * Descriptors that outlive this process: they lie in the queue of a pair of sockets whose two ends the
 * holder has, each message a key and the descriptors that belong to it. So the holder is told once of
 * two descriptors, and not of each that a front-end sends; and systemd's store, which drops a second
 * descriptor of the same open file, isn't asked to tell apart regions that lie in one file.
 *
 * A queue has no other order than its own: what isn't needed any more is taken out by sending
 * everything else round once. A process that dies amid that leaves an entry twice, never none.
 */
export class DescriptorQueue {
  readonly #in: number;
  readonly #out: number;
  readonly #drop = Buffer.alloc(MAX_KEY_BYTES);
  /** How many entries there are. */
  size = 0;

  /** The two ends, in any process, and in this one for good. */
  constructor([into, from]: readonly [number, number]) {
    this.#in = into;
    this.#out = from;
  }

  /** The two ends of a new, empty one. */
  static create(): [number, number] {
    return messagePair();
  }

  /** Throws the system call's error where no more fit. */
  put(key: string, descriptors: readonly number[]): void {
    if (!send(this.#in, Buffer.from(key), descriptors)) {
      throw new SystemError("sendmsg", errno.ENOBUFS, "of descriptors to keep");
    }
    this.size++;
  }

  /** All entries; their descriptors are the caller's to close. */
  load(): Map<string, number[]> {
    const entries = new Map<string, number[]>();
    this.#goRound((key, descriptors) => {
      if (entries.has(key)) return false;
      entries.set(key, descriptors.splice(0));
      return true;
    });
    return entries;
  }

  /** Drops the entries that `stays` says no to. */
  prune(stays: (key: string) => boolean): void {
    this.#goRound(stays);
  }

  clear(): void {
    while (this.#dropFirst());
    this.size = 0;
  }

  /** Shows each entry once. `visit` takes descriptors over by removing them from the array. */
  #goRound(visit: (key: string, descriptors: number[]) => boolean): void {
    const end = randomUUID();
    this.put(end, []);
    this.size = 0;
    for (;;) {
      const first = receive(this.#out, MAX_KEY_BYTES, "peek");
      const key = first === undefined ? end : Buffer.from(first.bytes).toString("latin1");
      const descriptors = first?.descriptors ?? [];
      const again = [...descriptors];
      try {
        // An end is another's that died, and has no descriptors.
        if (again.length > 0 && visit(key, descriptors)) this.put(key, again);
      } finally {
        for (const fd of descriptors) closeDescriptor(fd);
      }
      this.#dropFirst();
      if (key === end) return;
    }
  }

  /** Without room for descriptors, the kernel drops them. */
  #dropFirst(): boolean {
    return readInto(this.#out, this.#drop) !== undefined;
  }
}
