import { writeSync } from "node:fs";
import {
  closeDescriptor,
  createPipe,
  makePlainStream,
  readInto,
  setNonBlocking,
  splice,
} from "../../os/index.js";
import {
  type Connection,
  descriptorNames,
  doesntRead,
  type END,
  isUnread,
  type ReceivedMessage,
  receiveMessage,
  type SessionState,
  sendReply,
} from "../../virtio/vhost-user/index.js";
import type { DescriptorQueue } from "./descriptor-queue.js";
import { PersistentMessage } from "./persistent-message.js";
import type { SessionFile } from "./session-file.js";
import { decodeState, encodeState } from "./state-text.js";

/** The queue's entry that makes a session: its connection, and the pipe of its replies. */
const SESSION = "session";
/** A session before its first message. */
const FRESH = "fresh";
/** Entries that nothing refers to any more may become so many more than those that are in use. */
const SPARE_ENTRIES = 32;

/**
 * A front-end's connection whose messages are each received, handled and answered once, whenever the
 * processes die that do it.
 *
 * Receiving: src/service/session/persistent-message.ts.
 *
 * Handling: what a message changes is in the new state, which one store makes count.
 *
 * Answering: before that store the reply is put into a pipe, and afterwards moved from there to the
 * socket by splice(2): what is in the pipe was not sent. Where the message is still there too, it
 * wasn't handled, and the reply comes anew.
 */
export class PersistentConnection implements Connection {
  readonly fd: number;
  readonly savedState: SessionState | undefined;
  readonly #file: SessionFile;
  readonly #queue: DescriptorQueue;
  readonly #pipe: readonly [from: number, into: number];
  /** What a former process had, until the session took it. */
  readonly #entries: Map<string, number[]>;
  readonly #message: PersistentMessage;
  #sequence: number;

  private constructor(file: SessionFile, queue: DescriptorQueue, entries: Map<string, number[]>) {
    this.#file = file;
    this.#queue = queue;
    this.#entries = entries;
    const [fd = -1, from = -1, into = -1] = entries.get(SESSION) ?? [];
    entries.delete(SESSION);
    this.fd = fd;
    this.#pipe = [from, into];
    const { sequence, text } = file.committed;
    this.#sequence = sequence;
    this.savedState = text === FRESH ? undefined : decodeState(text);
    makePlainStream(fd);
    this.#message = new PersistentMessage(fd, file, queue, sequence, entries);
    // With a message that isn't handled, what is in the pipe is its reply, and comes anew.
    if (this.#message.filled > 0) this.#dropReply();
    else this.#sendReply();
  }

  /**
   * A new connection, whose descriptor `accept` gives; undefined where it has none. All else is there before: what
   * is accepted is put into the queue by the very next system call.
   */
  static begin(
    file: SessionFile,
    queue: DescriptorQueue,
    accept: () => number | undefined,
  ): PersistentConnection | undefined {
    queue.clear();
    file.journal.fill(0);
    file.commit({ sequence: after(file.committed.sequence), text: FRESH });
    const descriptors: number[] = createPipe();
    try {
      const fd = accept();
      if (fd !== undefined) {
        descriptors.unshift(fd);
        queue.put(SESSION, descriptors);
        setNonBlocking(fd);
        return new PersistentConnection(file, queue, new Map([[SESSION, descriptors.splice(0)]]));
      }
    } finally {
      for (const fd of descriptors) closeDescriptor(fd);
    }
    return undefined;
  }

  /** The connection that a former process had; undefined where it had none. */
  static resume(file: SessionFile, queue: DescriptorQueue): PersistentConnection | undefined {
    if (file.committed.text === "") {
      // It may have died amid close(): the front-end waits for its end.
      queue.clear();
      return undefined;
    }
    const entries = queue.load();
    if (!entries.has(SESSION)) {
      // It died between accept(2) and that system call.
      for (const fd of [...entries.values()].flat()) closeDescriptor(fd);
      return undefined;
    }
    return new PersistentConnection(file, queue, entries);
  }

  next(): ReceivedMessage | typeof END | undefined {
    return receiveMessage(this.#message);
  }

  done(state: () => SessionState, reply: Uint8Array | undefined): void {
    const now = state();
    if (reply !== undefined) writeSync(this.#pipe[1], reply);
    this.#sequence = after(this.#sequence);
    this.#message.begin(this.#sequence);
    this.#file.commit({ sequence: this.#sequence, text: encodeState(now) });
    if (reply !== undefined) this.#sendReply(reply.length);
    const live = new Set(descriptorNames(now).map(entryOf));
    if (this.#queue.size > live.size + SPARE_ENTRIES) {
      this.#queue.prune((key) => key === SESSION || live.has(key));
    }
  }

  /** A descriptor can't be moved from a pipe to a socket. */
  sendWith(reply: Uint8Array, fd: number): void {
    sendReply(this.fd, reply, [fd]);
  }

  nameOf(fd: number): string {
    const name = this.#message.nameOf(fd);
    if (name === undefined) throw new Error(`descriptor ${fd} came with no message`);
    return name;
  }

  descriptor(name: string): number {
    const [key = "", index] = name.split("#");
    const fd = this.#entries.get(key)?.[Number(index)];
    if (fd === undefined) throw new Error(`descriptor ${name} isn't in the queue`);
    this.#entries.get(key)?.splice(Number(index), 1, -1);
    return fd;
  }

  resumed(): void {
    for (const fd of [...this.#entries.values()].flat()) if (fd >= 0) closeDescriptor(fd);
    this.#entries.clear();
  }

  close(): void {
    // First: a session without descriptors is none, descriptors without a session are dropped.
    this.#file.commit({ sequence: after(this.#sequence), text: "" });
    this.#queue.clear();
    this.leave();
  }

  leave(): void {
    this.resumed();
    this.#message.close();
    for (const fd of [this.fd, ...this.#pipe]) closeDescriptor(fd);
  }

  /**
   * Moves a reply of `length` bytes, or what there is of one, from the pipe to the socket. It is dropped where nobody
   * reads it any more.
   */
  #sendReply(length = 0): void {
    try {
      let sent = 0;
      for (;;) {
        const count = splice(this.#pipe[0], this.fd);
        if (count === undefined) break;
        sent += count;
      }
      if (sent < length) throw doesntRead();
    } catch (error) {
      if (!isUnread(error)) throw error;
      this.#dropReply();
    }
  }

  #dropReply(): void {
    const dropped = Buffer.alloc(4096);
    while (readInto(this.#pipe[0], dropped) !== undefined);
  }
}

/** Numbers of messages are 32 bits wide, and a front-end may send any number of them. */
const after = (sequence: number): number => (sequence + 1) >>> 0;

const entryOf = (name: string): string => name.split("#")[0] ?? "";
