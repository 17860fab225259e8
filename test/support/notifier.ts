import { readSync, writeSync } from "node:fs";
import { closeDescriptor, createEventfd, socketPair } from "../../src/os/index.js";
import { libc } from "../../src/os/libc.js";

/** A front-end's end of a kick, call or error descriptor, and the end that it passes on. */
export interface Notifier {
  /** What goes to the back-end. */
  readonly passed: number;
  /** How often the other side signalled since this was last asked. */
  count(): number;
  close(): void;
}

const EVENT_BYTES = 8;

function read(fd: number, into: Buffer): number {
  try {
    return readSync(fd, into);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EAGAIN") return 0;
    throw error;
  }
}

/** An eventfd, as QEMU passes. */
export function eventfdNotifier(): Notifier {
  const fd = createEventfd();
  const counter = Buffer.alloc(EVENT_BYTES);
  return {
    passed: fd,
    count: () => (read(fd, counter) === EVENT_BYTES ? Number(counter.readBigUInt64LE()) : 0),
    close: () => {
      closeDescriptor(fd);
    },
  };
}

/** An eventfd that never becomes empty, because a read takes 1 of what is there (EFD_SEMAPHORE). */
export function semaphoreNotifier(): Notifier {
  const EFD_SEMAPHORE = 1;
  const fd = libc.eventfd(0, EFD_SEMAPHORE);
  const most = Buffer.alloc(EVENT_BYTES);
  most.writeBigUInt64LE(2n ** 64n - 1_000_000n);
  writeSync(fd, most);
  return {
    passed: fd,
    count: () => 0,
    close: () => {
      closeDescriptor(fd);
    },
  };
}

/** What user-mode-linux calls a pipe and passes as a call descriptor: half of a stream socket pair. */
export function socketNotifier(): Notifier {
  const [own, passed] = socketPair();
  const signals = Buffer.alloc(EVENT_BYTES * 512);
  return {
    passed,
    count: () => {
      const bytes = read(own, signals);
      if (bytes % EVENT_BYTES !== 0) throw new Error(`${bytes} bytes are no whole signals`);
      return bytes / EVENT_BYTES;
    },
    close: () => {
      closeDescriptor(own);
      closeDescriptor(passed);
    },
  };
}
