import { join } from "node:path";
import { onTestFinished } from "vitest";
import {
  acceptUnix,
  closeDescriptor,
  connectUnix,
  EventLoop,
  listenUnix,
  send,
} from "../../src/os/index.js";
import { encodeMessage, FrontEndMessage } from "../../src/virtio/vhost-user/index.js";
import {
  END,
  MessageReader,
  type ReceivedMessage,
} from "../../src/virtio/vhost-user/message-reader.js";
import { temporaryFolder } from "./support.js";

/** What a front-end is shown of the back-end behind it. */
export interface Tampering {
  /** Feature bits below this one are kept back. */
  readonly featuresFrom: number;
  /** What the configuration space is from this byte on; missing: answers end there. */
  readonly config?: { readonly from: number; readonly is: "zeros" | "ones" | "missing" };
}

/** A back-end's socket as a VMM sees it that lets less through than the one that is tested with. */
export interface Tampered {
  readonly socket: string;
  /** The available ring's index of each queue that was stopped: what the driver had placed there. */
  readonly bases: ReadonlyMap<number, number>;
}

/** The back-end's answer as the front-end gets it. */
function tamperedWith(
  { request, flags, payload }: ReceivedMessage,
  { featuresFrom, config }: Tampering,
): Buffer {
  const bytes = Buffer.from(payload);
  if (request === FrontEndMessage.GET_FEATURES) {
    bytes.writeBigUInt64LE(
      (payload.readBigUInt64LE(0) >> BigInt(featuresFrom)) << BigInt(featuresFrom),
    );
  }
  if (request !== FrontEndMessage.GET_CONFIG || config === undefined) {
    return encodeMessage(request, flags, bytes);
  }
  // offset, size, flags u32; then the bytes from the offset on.
  const from = 12 + Math.max(0, config.from - payload.readUInt32LE(0));
  if (config.is !== "missing")
    bytes.fill(config.is === "ones" ? 0xff : 0, Math.min(from, bytes.length));
  const shown = config.is === "missing" ? bytes.subarray(0, from) : bytes;
  shown.writeUInt32LE(shown.length - 12, 4);
  return encodeMessage(request, flags, shown);
}

/** Stands between front-ends and the back-end at `backEnd`, in this process, until the test is over. */
export function tamper(backEnd: string, tampering: Tampering): Tampered {
  const socket = join(temporaryFolder(), "socket");
  const loop = new EventLoop();
  const bases = new Map<number, number>();
  const listener = listenUnix(socket);
  const open = new Set([listener]);

  const pass = (from: number, to: number, change: (message: ReceivedMessage) => Buffer): void => {
    const reader = new MessageReader(from);
    loop.watch(from, () => {
      for (let message = reader.next(); message !== undefined; message = reader.next()) {
        if (message === END) {
          for (const fd of [from, to]) {
            loop.unwatch(fd);
            closeDescriptor(fd);
            open.delete(fd);
          }
          return;
        }
        if (!send(to, change(message), message.descriptors)) throw new Error("a socket is full");
        for (const fd of message.descriptors) closeDescriptor(fd);
      }
    });
  };
  loop.watch(listener, () => {
    const front = acceptUnix(listener);
    if (front === undefined) return;
    const back = connectUnix(backEnd);
    for (const fd of [front, back]) open.add(fd);
    pass(front, back, ({ request, flags, payload }) => encodeMessage(request, flags, payload));
    pass(back, front, (message) => {
      const { request, payload } = message;
      if (request === FrontEndMessage.GET_VRING_BASE) {
        bases.set(payload.readUInt32LE(0), payload.readUInt32LE(4));
      }
      return tamperedWith(message, tampering);
    });
  });

  let serving = true;
  // It waits no longer than the process's own loop can do without.
  const turn = (): void => {
    if (!serving) return;
    loop.turn(2);
    setImmediate(turn);
  };
  turn();
  onTestFinished(() => {
    serving = false;
    for (const fd of open) closeDescriptor(fd);
    loop.close();
  });
  return { socket, bases };
}
