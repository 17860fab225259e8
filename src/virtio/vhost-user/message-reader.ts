import { closeDescriptor, readInto, receive } from "../../os/index.js";
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

/** The end of the stream. */
export const END = Symbol("end of stream");

/** A message that is being received from a stream socket. */
export interface IncomingMessage {
  /** Where it lies: a header, and room for the longest payload. */
  readonly bytes: Buffer;
  /** How many bytes of it are there. */
  readonly filled: number;
  /**
   * Receives some of its next bytes, none behind `end`, and returns how many: 0 at the end of the stream,
   * undefined where none wait. Descriptors belong to the message that they come with the first byte of, as
   * sendmsg(2) sends them with the first of its bytes; any others are closed.
   */
  receive(end: number): number | undefined;
  /** Gives away its descriptors. */
  takeDescriptors(): number[];
}

/** The message, once it is whole; undefined where the rest hasn't come yet. Throws a fatal ProtocolError. */
export function receiveMessage(
  incoming: IncomingMessage,
): ReceivedMessage | typeof END | undefined {
  for (;;) {
    const { bytes, filled } = incoming;
    // Header and payload apart and to the byte: what lies behind is another message's.
    const end = filled < HEADER_BYTES ? HEADER_BYTES : HEADER_BYTES + payloadBytes(bytes);
    if (filled === end) {
      return {
        request: bytes.readUInt32LE(0),
        flags: bytes.readUInt32LE(4),
        payload: Buffer.from(bytes.subarray(HEADER_BYTES, end)),
        descriptors: incoming.takeDescriptors(),
      };
    }
    const count = incoming.receive(end);
    if (count === undefined) return undefined;
    if (count === 0) return END;
  }
}

/** Takes messages off a stream socket. What came of a message is lost with this process. */
export class MessageReader implements IncomingMessage {
  readonly bytes = Buffer.alloc(HEADER_BYTES + MAX_PAYLOAD_BYTES);
  readonly #fd: number;
  #filled = 0;
  #descriptors: number[] = [];

  constructor(fd: number) {
    this.#fd = fd;
  }

  get filled(): number {
    return this.#filled;
  }

  /** The next whole message; undefined where the rest hasn't come yet. Throws a fatal ProtocolError. */
  next(): ReceivedMessage | typeof END | undefined {
    const message = receiveMessage(this);
    if (message !== undefined) this.#filled = 0;
    return message;
  }

  receive(end: number): number | undefined {
    const count =
      this.#filled === 0
        ? this.#receiveFirst()
        : readInto(this.#fd, this.bytes.subarray(this.#filled, end));
    this.#filled += count ?? 0;
    return count;
  }

  takeDescriptors(): number[] {
    return this.#descriptors.splice(0);
  }

  /** Closes descriptors of a message that never became whole. */
  close(): void {
    for (const fd of this.takeDescriptors()) closeDescriptor(fd);
  }

  #receiveFirst(): number | undefined {
    const first = receive(this.#fd, 1);
    if (first === undefined) return undefined;
    this.#descriptors = first.descriptors;
    this.bytes.set(first.bytes);
    return first.bytes.length;
  }
}

/** How long the payload behind a header is: bounded before anything is allocated for it. */
function payloadBytes(header: Buffer): number {
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
