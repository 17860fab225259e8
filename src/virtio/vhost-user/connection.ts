import {
  closeDescriptor,
  errno,
  makePlainStream,
  SystemError,
  send,
  setNonBlocking,
} from "../../os/index.js";
import { type END, MessageReader, type ReceivedMessage } from "./message-reader.js";
import { ProtocolError } from "./protocol.js";
import type { DescriptorName, SessionState } from "./session-state.js";

/** A front-end's connection, as a session uses it. */
export interface Connection {
  readonly fd: number;
  /** The state in which a former process left the session. */
  readonly savedState: SessionState | undefined;
  /** The next whole message; undefined where the rest hasn't come yet. Throws a fatal ProtocolError. */
  next(): ReceivedMessage | typeof END | undefined;
  /** The message that next() gave last was handled, and led to `state`. Sends its reply, if any. */
  done(state: () => SessionState, reply: Uint8Array | undefined): void;
  /** Sends a reply with a descriptor, before done(): where it is kept, once or twice. */
  sendWith(reply: Uint8Array, fd: number): void;
  /** The name of a descriptor that came with the message that next() gave last. */
  nameOf(fd: number): DescriptorName;
  /** A descriptor of `savedState`, which is the caller's to close. Each is given once. */
  descriptor(name: DescriptorName): number;
  /** All that `savedState` needs was taken. */
  resumed(): void;
  /** Ends the connection, for good. */
  close(): void;
  /** Leaves it to another process, where it is kept. */
  leave(): void;
}

/** Keeps sessions beyond the process that has them. */
export interface SessionStore {
  /** The connection of the session that a former process had, if it had one. */
  resume(): Connection | undefined;
  /** A new connection, of the descriptor that `accept` gives; undefined where it gives none. */
  begin(accept: () => number | undefined): Connection | undefined;
}

/** The front-end has closed its end: nobody reads a reply any more, but what it sent before still comes. */
export const isUnread = (error: unknown): boolean =>
  error instanceof SystemError && error.errno === errno.EPIPE;

/** Sends a reply, which is dropped where nobody reads it any more. Throws a fatal ProtocolError. */
export function sendReply(
  socket: number,
  reply: Uint8Array,
  descriptors?: readonly number[],
): void {
  try {
    if (send(socket, reply, descriptors)) return;
  } catch (error) {
    if (isUnread(error)) return;
    throw error;
  }
  throw doesntRead();
}

export const doesntRead = (): ProtocolError =>
  new ProtocolError("BAD_VALUE", "the front-end doesn't read its replies", true);

/** A connection that ends with this process. */
export class PlainConnection implements Connection {
  readonly fd: number;
  readonly savedState = undefined;
  readonly #reader: MessageReader;

  /** Takes `fd` over. */
  constructor(fd: number) {
    setNonBlocking(fd);
    makePlainStream(fd);
    this.fd = fd;
    this.#reader = new MessageReader(fd);
  }

  next(): ReceivedMessage | typeof END | undefined {
    return this.#reader.next();
  }

  done(_state: () => SessionState, reply: Uint8Array | undefined): void {
    if (reply !== undefined) sendReply(this.fd, reply);
  }

  sendWith(reply: Uint8Array, fd: number): void {
    sendReply(this.fd, reply, [fd]);
  }

  nameOf(): DescriptorName {
    return "";
  }

  descriptor(): number {
    throw new Error("nothing was kept");
  }

  resumed(): void {}

  close(): void {
    this.#reader.close();
    closeDescriptor(this.fd);
  }

  leave(): void {
    this.close();
  }
}
