import type { Virtqueue } from "../virtqueue/index.js";

/** What a back-end tells its operator. `code` is stable: counters and rate limits go by it. */
export interface LogEvent {
  readonly level: "info" | "warn" | "error";
  readonly code: string;
  readonly message: string;
  /** The same for programs: names and numbers that are in the message. */
  readonly details?: Readonly<Record<string, string | number>>;
}

/** A queue as a device sees it: a virtqueue and the driver's call descriptor. */
export interface DeviceQueue {
  readonly index: number;
  /**
   * Where the chain that pop() gives next is: in the lower 16 bits the available ring's index, in the
   * upper ones the number of times that the front-end has set it. A device that gives chains back in
   * the order of the available ring finds the same chain at the same position after this process's end.
   */
  readonly position: number;
  pop: Virtqueue["pop"];
  push: Virtqueue["push"];
  /** Shows the driver what was pushed and calls it if it wants to be called. */
  publish(): void;
  /** The guest's turn has lasted long enough: the device takes no more chains, and schedules the queue. */
  readonly isTurnOver: boolean;
  /** Has the device process the queue again in another turn. */
  schedule(): void;
  /** False once the queue was taken away: a completion that comes now is dropped. */
  readonly live: boolean;
}

/** What a session knows of a driver that has started. */
export interface StartedDriver {
  /** The queues that it set up. */
  readonly queues: readonly number[];
  /** How many bytes of the configuration space it has seen; 0 where it was there before its VMM connected. */
  readonly configRead: number;
}

/** What a guest's driver does with its device, as far as its front-end shows it. */
export interface DriverActivity {
  /**
   * `none`: no ring ran since the front-end connected. `stopped`: none runs any more; the driver has reset the
   * device, or the machine was reset, paused or suspended.
   */
  readonly state: "none" | "running" | "stopped";
  /** Since when, in milliseconds since 1970. */
  readonly sinceMs: number;
}

/** What a session knows of a front-end that has gone away, and of its driver until then. */
export interface FrontEndEnd {
  /** Since when it was connected, in milliseconds since 1970. */
  readonly connectedMs: number;
  readonly driver: DriverActivity["state"];
  /**
   * The front-end would have stopped its rings, had it ended in order. That is known of those that negotiated
   * VHOST_USER_PROTOCOL_F_STATUS, of which QEMU is one; user-mode-linux just ends.
   */
  readonly tellsStops: boolean;
}

/**
 * A virtio device as a session drives it: one object for each connection. Everything is called on the
 * event loop's thread.
 */
export interface VirtioDevice {
  /** The device's own feature bits (0 to 23 and 50 to 127, virtio 2.2). */
  readonly features: bigint;
  /** How many virtqueues it has. */
  readonly queueCount: number;
  /**
   * As many descriptors as any chain needs: longer ones are malformed. A queue may have 32,768, and to look at them
   * all would keep other guests waiting.
   */
  readonly maxDescriptors: number;
  /**
   * The driver's choice among `features`, before its queues start (VHOST_USER_SET_FEATURES). It holds
   * until the next one: a reset by itself doesn't end it.
   */
  negotiated(features: bigint): void;
  /** The configuration space as it is now (virtio 2.5). */
  readConfig(): Uint8Array;
  /** The driver wrote `bytes` at `offset`; what isn't writable is ignored. */
  writeConfig(offset: number, bytes: Uint8Array): void;
  /**
   * The queue was kicked or scheduled: takes chains off it, one at least, until the turn is over, and gives
   * them back now or later. Where more may wait it schedules the queue again.
   */
  process(queue: DeviceQueue): void;
  /** The driver has started. Called again where the rings were stopped meanwhile, or more of them started. */
  started?(driver: StartedDriver): void;
  /**
   * The driver reset the device, or a new driver begins (virtio 2.4), whether the front-end said so or the
   * session found it out. Nothing is in flight.
   */
  reset(): void;
  /**
   * The front-end has closed the connection or died; close() follows. Called once more where the process ended
   * before it had closed the connection, too.
   */
  gone?(end: FrontEndEnd): void;
  /** The connection is gone. Nothing is in flight any more. */
  close(): void;
}
