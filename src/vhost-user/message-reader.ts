import { closeDescriptor, receive } from "../native/index.js";
import {
  FLAG_VERSION_1,
  FLAG_VERSION_MASK,
  HEADER_BYTES,
  MAX_PAYLOAD_BYTES,
  type Message,
  messageName,
  ProtocolError,
} from "./protocol.js";

/** A message, and the descriptors that came with it: the caller's to close. */
export interface ReceivedMessage extends Message {
  readonly descriptors: number[];
}

/**
 * Descriptors taken with one message, the largest of which is SET_MEM_TABLE: a front-end that sent some
 * with each byte of a message could use up the process's.
 */
export const MAX_MESSAGE_DESCRIPTORS = 16;

/** The end of the stream. */
export const END = Symbol("end of stream");

/**
 * Takes messages off a stream socket. Header and payload are received apart and to the byte, so that
 * descriptors never come with another message's bytes.
 */
export class MessageReader {
  readonly #fd: number;
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #payload: Buffer | undefined;
  #filled = 0;
  #descriptors: number[] = [];

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** The next whole message; undefined where the rest hasn't come yet. Throws a fatal ProtocolError. */
  next(): ReceivedMessage | typeof END | undefined {
    for (;;) {
      const target = this.#payload ?? this.#header;
      if (this.#filled < target.length) {
        const received = receive(this.#fd, target.length - this.#filled);
        if (received === undefined) return undefined;
        this.#descriptors.push(...received.descriptors);
        if (this.#descriptors.length > MAX_MESSAGE_DESCRIPTORS) {
          throw new ProtocolError(
            "BAD_DESCRIPTORS",
            `more than ${MAX_MESSAGE_DESCRIPTORS} descriptors came with one message`,
            true,
          );
        }
        if (received.bytes.length === 0) return END;
        target.set(received.bytes, this.#filled);
        this.#filled += received.bytes.length;
        continue;
      }
      if (this.#payload === undefined) {
        this.#payload = Buffer.alloc(payloadBytes(this.#header));
        this.#filled = 0;
        continue;
      }
      const message = {
        request: this.#header.readUInt32LE(0),
        flags: this.#header.readUInt32LE(4),
        payload: this.#payload,
        descriptors: this.#descriptors,
      };
      this.#payload = undefined;
      this.#filled = 0;
      this.#descriptors = [];
      return message;
    }
  }

  /** Closes descriptors of a message that never became whole. */
  close(): void {
    for (const fd of this.#descriptors.splice(0)) closeDescriptor(fd);
  }
}

/** How long the payload behind a header is: bounded before anything is allocated for it. */
export function payloadBytes(header: Buffer): number {
  const request = header.readUInt32LE(0);
  const flags = header.readUInt32LE(4);
  const size = header.readUInt32LE(8);
  if ((flags & FLAG_VERSION_MASK) !== FLAG_VERSION_1) {
    throw new ProtocolError("BAD_HEADER", `a header of version ${flags & 3}, not 1`, true);
  }
  if (size > MAX_PAYLOAD_BYTES) {
    throw new ProtocolError(
      "BAD_HEADER",
      `${messageName(request)} announces ${size} bytes; at most ${MAX_PAYLOAD_BYTES} are taken`,
      true,
    );
  }
  return size;
}
