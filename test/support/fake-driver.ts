import { signal } from "../../src/os/index.js";
import type { GuestRam } from "./guest-ram.js";
import { eventfdNotifier, type Notifier } from "./notifier.js";

/** struct virtq_desc (virtio 2.7.5), by hand: a second opinion on the device's reading of it. */
const DESCRIPTOR_BYTES = 16;
export const NEXT = 1;
export const WRITE = 2;
export const INDIRECT = 4;
export const AVAIL_NO_INTERRUPT = 1;
const USED_NO_NOTIFY = 1;

/** One buffer of a request. All that are not writable come before those that are. */
export interface Part {
  readonly address: bigint;
  readonly length: number;
  readonly writable: boolean;
}

/** A descriptor as it stands in a table. */
export interface RawDescriptor {
  readonly address: bigint;
  readonly length: number;
  readonly flags: number;
  readonly next: number;
}

/** How a chain's descriptors lie: all in an indirect table from the `from`th on, or none. */
export interface Framing {
  readonly indirectFrom?: number;
}

export interface DriverQueueOptions {
  /** 128 where not given. */
  readonly size?: number;
  /** VIRTIO_F_EVENT_IDX was negotiated. */
  readonly eventIndex?: boolean;
  /** The region that the rings lie in. */
  readonly region?: number;
  /** The index that both rings begin at, for wraps. */
  readonly startIndex?: number;
  /** What the device calls; an eventfd where not given. */
  readonly call?: Notifier;
  /** What kicks the device; likewise. */
  readonly kick?: Notifier;
}

/** Writes one descriptor into a table. */
export function writeDescriptor(table: Buffer, index: number, raw: RawDescriptor): void {
  const at = index * DESCRIPTOR_BYTES;
  table.writeBigUInt64LE(raw.address, at);
  table.writeUInt32LE(raw.length, at + 8);
  table.writeUInt16LE(raw.flags, at + 12);
  table.writeUInt16LE(raw.next, at + 14);
}

/**
 * The driver's side of one split virtqueue (virtio 2.7), in shared memory. The upper half of the class
 * behaves like a driver; the raw half writes whatever it is told, so that it can misbehave.
 *
 * For speed: place() chains once, then offer() and collect() them again and again, without allocation.
 */
export class DriverQueue {
  readonly size: number;
  readonly ram: GuestRam;
  /** Guest addresses of the queue's three parts. */
  readonly descriptors: bigint;
  readonly available: bigint;
  readonly used: bigint;
  readonly kickNotifier: Notifier;
  readonly callNotifier: Notifier;
  readonly errorNotifier: Notifier = eventfdNotifier();
  /** The used length of the chain that collect() returned last. */
  usedLength = 0;
  /** The driver asks for a call at the next used chain, as long as this is true. */
  wantsCalls = true;
  readonly #table: Buffer;
  readonly #available: Uint16Array;
  readonly #used: Uint16Array;
  readonly #usedElements: Uint32Array;
  readonly #eventIndex: boolean;
  readonly #region: number;
  readonly #free: number[] = [];
  /** The descriptors of the chain that each head begins, or nothing. */
  readonly #chains: (readonly number[] | undefined)[] = [];
  readonly #indirectTables: ({ address: bigint; bytes: Buffer } | undefined)[] = [];
  readonly #oneShot: Uint8Array;
  #nextAvailable: number;
  #announced: number;
  #lastUsed: number;

  constructor(ram: GuestRam, options: DriverQueueOptions = {}) {
    const { size = 128, eventIndex = false, region = 0, startIndex = 0 } = options;
    this.ram = ram;
    this.size = size;
    this.#eventIndex = eventIndex;
    this.#region = region;
    this.callNotifier = options.call ?? eventfdNotifier();
    this.kickNotifier = options.kick ?? eventfdNotifier();
    this.descriptors = ram.allocate(DESCRIPTOR_BYTES * size, 16n, region);
    this.available = ram.allocate(6 + 2 * size, 2n, region);
    this.used = ram.allocate(6 + 8 * size, 4n, region);
    this.#table = ram.bytes(this.descriptors, DESCRIPTOR_BYTES * size);
    const available = ram.bytes(this.available, 6 + 2 * size);
    const used = ram.bytes(this.used, 6 + 8 * size);
    this.#available = new Uint16Array(available.buffer, available.byteOffset, 3 + size);
    this.#used = new Uint16Array(used.buffer, used.byteOffset, 3 + 4 * size);
    this.#usedElements = new Uint32Array(used.buffer, used.byteOffset + 4, 2 * size);
    this.#oneShot = new Uint8Array(size);
    this.#nextAvailable = startIndex;
    this.#announced = startIndex;
    this.#lastUsed = startIndex;
    this.restart(startIndex);
  }

  /** As a driver that begins anew: every descriptor is free, both rings stand at `index`. */
  restart(index = 0): void {
    this.#free.length = 0;
    for (let i = this.size - 1; i >= 0; i--) this.#free.push(i);
    this.#chains.length = 0;
    this.#nextAvailable = index;
    this.#announced = index;
    this.#lastUsed = index;
    this.#available.fill(0);
    this.#used.fill(0);
    Atomics.store(this.#used, 1, index);
    Atomics.store(this.#available, 1, index);
    if (this.#eventIndex) Atomics.store(this.#available, 2 + this.size, index);
  }

  /** Writes a chain into the descriptor table and returns its head. It stays there until release(). */
  place(parts: readonly Part[], framing: Framing = {}): number {
    const direct = Math.min(parts.length, framing.indirectFrom ?? parts.length);
    const indirect = parts.slice(direct);
    const needed = direct + (indirect.length > 0 ? 1 : 0);
    if (needed === 0 || needed > this.#free.length) {
      throw new RangeError(`${needed} descriptors of ${this.#free.length} that are free`);
    }
    const indexes = Array.from({ length: needed }, () => this.#free.pop() ?? 0);
    const [head = 0] = indexes;
    indexes.forEach((index, i) => {
      const next = indexes[i + 1] ?? 0;
      const more = i + 1 < needed ? NEXT : 0;
      const part = parts[i];
      if (i < direct && part !== undefined) {
        const flags = (part.writable ? WRITE : 0) | more;
        this.writeDescriptor(index, { ...part, flags, next });
      } else {
        const address = this.#indirectTable(head, indirect);
        const length = indirect.length * DESCRIPTOR_BYTES;
        this.writeDescriptor(index, { address, length, flags: INDIRECT, next: 0 });
      }
    });
    this.#chains[head] = indexes;
    return head;
  }

  /** Frees the descriptors of a chain that the device doesn't have any more. */
  release(head: number): void {
    this.#free.push(...(this.#chains[head] ?? []));
    this.#chains[head] = undefined;
  }

  /** Puts a chain on the available ring. The device sees it at announce(). */
  stage(head: number): void {
    this.setAvailableEntry(this.#nextAvailable & (this.size - 1), head);
    this.#nextAvailable = (this.#nextAvailable + 1) & 0xffff;
  }

  /** Shows the device what was staged; true where it wants a kick for it (virtio 2.7.7.2, 2.7.10). */
  announce(): boolean {
    const before = this.#announced;
    const now = this.#nextAvailable;
    this.setAvailableIndex(now);
    this.#announced = now;
    if (!this.#eventIndex) return (Atomics.load(this.#used, 0) & USED_NO_NOTIFY) === 0;
    return ((now - this.availableEvent - 1) & 0xffff) < ((now - before) & 0xffff);
  }

  /** Makes a chain available and kicks the device if it wants to be kicked. */
  offer(head: number): void {
    this.stage(head);
    if (this.announce()) this.kick();
  }

  /** A chain for one use: it is released when it is collected. */
  add(parts: readonly Part[], framing: Framing = {}): number {
    const head = this.place(parts, framing);
    this.#oneShot[head] = 1;
    this.offer(head);
    return head;
  }

  /** The head of the next used chain, its length in `usedLength`; -1 where there is none. */
  collect(): number {
    if (Atomics.load(this.#used, 1) === this.#lastUsed) return -1;
    const slot = this.#lastUsed & (this.size - 1);
    const head = this.#usedElements[2 * slot] ?? 0;
    this.usedLength = this.#usedElements[2 * slot + 1] ?? 0;
    this.#lastUsed = (this.#lastUsed + 1) & 0xffff;
    if (this.#eventIndex && this.wantsCalls) this.setUsedEvent(this.#lastUsed);
    if (this.#oneShot[head] === 1) {
      this.#oneShot[head] = 0;
      this.release(head);
    }
    return head;
  }

  /** Kicks the device, whether it wants to be kicked or not. */
  kick(): void {
    signal(this.kickNotifier.passed);
  }

  /** How often the device called since this was last asked. */
  calls(): number {
    return this.callNotifier.count();
  }

  /** How often the device signalled an error since this was last asked. */
  errors(): number {
    return this.errorNotifier.count();
  }

  close(): void {
    this.kickNotifier.close();
    this.callNotifier.close();
    this.errorNotifier.close();
  }

  // From here on: raw access, which checks nothing.

  writeDescriptor(index: number, raw: RawDescriptor): void {
    writeDescriptor(this.#table, index, raw);
  }

  setAvailableEntry(slot: number, head: number): void {
    this.#available[2 + slot] = head;
  }

  setAvailableIndex(index: number): void {
    Atomics.store(this.#available, 1, index);
  }

  setAvailableFlags(flags: number): void {
    Atomics.store(this.#available, 0, flags);
  }

  setUsedEvent(index: number): void {
    Atomics.store(this.#available, 2 + this.size, index);
  }

  /** Where the driver stands: the index that the next chain gets. */
  get nextAvailable(): number {
    return this.#nextAvailable;
  }

  /** What the device wrote: the used ring's index, and the index it wants to be kicked at. */
  get usedIndex(): number {
    return Atomics.load(this.#used, 1);
  }

  get availableEvent(): number {
    return Atomics.load(this.#used, 2 + 4 * this.size);
  }

  #indirectTable(head: number, parts: readonly Part[]): bigint {
    const length = this.size * DESCRIPTOR_BYTES;
    let table = this.#indirectTables[head];
    if (table === undefined) {
      const address = this.ram.allocate(length, 16n, this.#region);
      table = { address, bytes: this.ram.bytes(address, length) };
      this.#indirectTables[head] = table;
    }
    const { bytes } = table;
    parts.forEach((part, i) => {
      const flags = (part.writable ? WRITE : 0) | (i + 1 < parts.length ? NEXT : 0);
      writeDescriptor(bytes, i, { ...part, flags, next: i + 1 });
    });
    return table.address;
  }
}
