import {
  CONFIG_BYTES,
  CONFIG_V2_BYTES,
  Command,
  FILEINFO_BYTES,
  REQUEST_BYTES,
  RESPONSE_BYTES,
} from "../../src/device/wire.js";
import { DriverQueue, type DriverQueueOptions, type Part } from "./fake-driver.js";
import type { FakeFrontEnd } from "./fake-front-end.js";
import type { GuestRam } from "./guest-ram.js";
import { qemuConnect, qemuStart, type StartOptions } from "./negotiations.js";
import {
  decodeConfig,
  decodeExtendedConfig,
  decodeFileInfo,
  decodeResponse,
  type ExtendedConfig,
  encodeRequest,
  type PstoreConfig,
  type PstoreFileInfo,
  type PstoreRequest,
  type PstoreResponse,
} from "./pstore-wire.js";
import { config, F_EVENT_IDX, F_VERSION_1, VU } from "./vhost-user-wire.js";

/**
 * Cuts one side of a request, given as the lengths of its pieces, into the lengths of its descriptors.
 * The sum stays the same.
 */
export type Cut = (pieces: readonly number[]) => readonly number[];

/** The 2016 driver's framing: each piece is a descriptor of its own. */
export const pieceByPiece: Cut = (pieces) => pieces;

/** Everything in one descriptor. */
export const inOne: Cut = (pieces) => [pieces.reduce((sum, piece) => sum + piece, 0)];

/** Descriptors of `bytes` bytes each, whatever the pieces are. */
export const everyBytes =
  (bytes: number): Cut =>
  (pieces) => {
    const cuts: number[] = [];
    for (let left = inOne(pieces)[0] ?? 0; left > 0; left -= bytes) {
      cuts.push(Math.min(left, bytes));
    }
    return cuts;
  };

export interface PstoreDriverOptions {
  /** Quota for data in a READ, in bytes: 16 KiB where not given. */
  readonly bufsize?: number;
  readonly cut?: Cut;
  /** All descriptors in an indirect table, which must have been negotiated. */
  readonly indirect?: boolean;
  /** The region of guest memory that buffers lie in. */
  readonly region?: number;
  /** A third queue, which F_PANIC_VQ allows. */
  readonly panicQueue?: boolean;
  /** Written before the queues start. */
  readonly bootId?: Uint8Array;
}

/** What READ brought: nothing more at the end of the walk. */
export interface ReadResult extends PstoreResponse {
  readonly record?: { readonly info: PstoreFileInfo; readonly data: Buffer };
}

/** A request in guest memory, to be offered as often as wanted. */
export interface PreparedRequest {
  readonly head: number;
  /** All device-readable bytes: request, data. */
  readonly readable: Buffer;
  /** All device-writable bytes: response, fileinfo, data. */
  readonly writable: Buffer;
  readonly readableAddress: bigint;
  readonly writableAddress: bigint;
}

/** A pstore driver on the queues of a fake front-end. */
export class PstoreDriver {
  readonly ram: GuestRam;
  readonly readQueue: DriverQueue;
  readonly writeQueue: DriverQueue;
  /** These two, and the panic queue where there is one. */
  readonly queues: readonly DriverQueue[];
  readonly #frontEnd: FakeFrontEnd;
  readonly #bufsize: number;
  readonly #cut: Cut;
  readonly #indirect: boolean;
  readonly #region: number;
  /** Buffers that no request uses, by their length. */
  readonly #spare = new Map<number, { address: bigint; bytes: Buffer }[]>();

  constructor(
    frontEnd: FakeFrontEnd,
    queues: readonly [read: DriverQueue, write: DriverQueue, ...panic: DriverQueue[]],
    options: PstoreDriverOptions = {},
  ) {
    this.#frontEnd = frontEnd;
    [this.readQueue, this.writeQueue] = queues;
    this.queues = queues;
    this.ram = this.readQueue.ram;
    this.#bufsize = options.bufsize ?? 16384;
    this.#cut = options.cut ?? pieceByPiece;
    this.#indirect = options.indirect ?? false;
    this.#region = options.region ?? 0;
  }

  /** Config space as a version 2 driver reads it. */
  async config(): Promise<PstoreConfig> {
    const reply = await this.#frontEnd.ask(VU.GET_CONFIG, config(0, CONFIG_V2_BYTES));
    return decodeConfig(reply.subarray(12));
  }

  /** All of it. */
  async extendedConfig(): Promise<ExtendedConfig> {
    const reply = await this.#frontEnd.ask(VU.GET_CONFIG, config(0, CONFIG_BYTES));
    return decodeExtendedConfig(reply.subarray(12));
  }

  /** Byte by byte, as virtio_cwrite_bytes() does. */
  async writeBootId(bootId: Uint8Array): Promise<void> {
    for (const [i, byte] of bootId.entries()) {
      await this.#frontEnd.must(VU.SET_CONFIG, config(16 + i, 1, Uint8Array.of(byte)));
    }
  }

  /** The driver writes back the size that it will use. */
  async writeBufsize(bufsize: number): Promise<bigint> {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(bufsize);
    return this.#frontEnd.tell(VU.SET_CONFIG, config(0, 4, bytes));
  }

  async open(): Promise<PstoreResponse> {
    return this.request({ cmd: Command.OPEN });
  }

  async close(): Promise<PstoreResponse> {
    return this.request({ cmd: Command.CLOSE });
  }

  async erase(type: number, id: bigint, count = 0): Promise<PstoreResponse> {
    return this.request({ cmd: Command.ERASE, type, id, count });
  }

  /** The next record of the walk. */
  async read(): Promise<ReadResult> {
    const room = [RESPONSE_BYTES, FILEINFO_BYTES, this.#bufsize];
    const prepared = this.prepare(this.readQueue, [encodeRequest({ cmd: Command.READ })], room);
    const usedLength = await this.#serve(this.readQueue, prepared);
    const response = decodeResponse(prepared.writable, usedLength);
    const end = RESPONSE_BYTES + FILEINFO_BYTES;
    const bytes = Buffer.from(prepared.writable.subarray(0, usedLength));
    this.discard(this.readQueue, prepared);
    if (usedLength < end) return response;
    const info = decodeFileInfo(bytes.subarray(RESPONSE_BYTES));
    return { ...response, record: { info, data: bytes.subarray(end) } };
  }

  /** OPEN, READ to the end, CLOSE. Throws where one of them fails. */
  async walk(): Promise<{ info: PstoreFileInfo; data: Buffer }[]> {
    const records: { info: PstoreFileInfo; data: Buffer }[] = [];
    this.#expectSuccess(await this.open());
    for (;;) {
      const { record, ...response } = await this.read();
      this.#expectSuccess(response);
      if (record === undefined) break;
      records.push(record);
    }
    this.#expectSuccess(await this.close());
    return records;
  }

  /** Stores a record, and waits for it as the original driver does not. */
  async write(
    request: Omit<PstoreRequest, "cmd">,
    data: Uint8Array,
    queue = this.writeQueue,
  ): Promise<PstoreResponse> {
    const prepared = this.prepareWrite(request, data, queue);
    const usedLength = await this.#serve(queue, prepared);
    const response = decodeResponse(prepared.writable, usedLength);
    this.discard(this.writeQueue, prepared);
    return response;
  }

  /** Any request without data, by default on queue 0. */
  async request(request: PstoreRequest, queue = this.readQueue): Promise<PstoreResponse> {
    const prepared = this.prepare(queue, [encodeRequest(request)], [RESPONSE_BYTES]);
    const usedLength = await this.#serve(queue, prepared);
    const response = decodeResponse(prepared.writable, usedLength);
    this.discard(queue, prepared);
    return response;
  }

  /**
   * A WRITE in guest memory, for benchmarks and for many in flight: `writeQueue.offer(head)` sends it,
   * `writeQueue.collect()` gives its head back, again and again; `writable` then holds the response.
   */
  prepareWrite(
    request: Omit<PstoreRequest, "cmd">,
    data: Uint8Array,
    queue = this.writeQueue,
  ): PreparedRequest {
    const head = encodeRequest({ ...request, cmd: Command.WRITE });
    return this.prepare(queue, [head, data], [RESPONSE_BYTES]);
  }

  /** Lays any request out: `readable` pieces of bytes, and room for `writable` pieces. */
  prepare(
    queue: DriverQueue,
    readable: readonly Uint8Array[],
    writable: readonly number[],
  ): PreparedRequest {
    const from = this.#take(readable.reduce((sum, { length }) => sum + length, 0));
    const to = this.#take(writable.reduce((sum, length) => sum + length, 0));
    let at = 0;
    for (const piece of readable) {
      from.bytes.set(piece, at);
      at += piece.length;
    }
    to.bytes.fill(0xa5);
    const parts = [
      ...this.#parts(
        from.address,
        readable.map(({ length }) => length),
        false,
      ),
      ...this.#parts(to.address, writable, true),
    ];
    return {
      head: queue.place(parts, this.#indirect ? { indirectFrom: 0 } : {}),
      readable: from.bytes,
      writable: to.bytes,
      readableAddress: from.address,
      writableAddress: to.address,
    };
  }

  /** Gives a prepared request's descriptors and memory back; the device must not have it. */
  discard(queue: DriverQueue, prepared: PreparedRequest): void {
    queue.release(prepared.head);
    this.#put(prepared.readableAddress, prepared.readable);
    this.#put(prepared.writableAddress, prepared.writable);
  }

  /** Offers a prepared request and waits for it: its used length. Nothing else may be in flight. */
  async #serve(queue: DriverQueue, { head }: PreparedRequest): Promise<number> {
    queue.offer(head);
    let collected = -1;
    await this.#frontEnd.until(() => {
      collected = queue.collect();
      return collected >= 0;
    }, "the device's answer");
    if (collected !== head) throw new Error(`chain ${collected} came back, not ${head}`);
    return queue.usedLength;
  }

  #parts(address: bigint, pieces: readonly number[], writable: boolean): Part[] {
    let at = address;
    return this.#cut(pieces).map((length) => {
      const part = { address: at, length, writable };
      at += BigInt(length);
      return part;
    });
  }

  #take(length: number): { address: bigint; bytes: Buffer } {
    const spare = this.#spare.get(length)?.pop();
    if (spare !== undefined) return spare;
    const address = this.ram.allocate(length, 16n, this.#region);
    return { address, bytes: this.ram.bytes(address, length) };
  }

  #put(address: bigint, bytes: Buffer): void {
    const spares = this.#spare.get(bytes.length) ?? [];
    spares.push({ address, bytes });
    this.#spare.set(bytes.length, spares);
  }

  #expectSuccess({ cmd, ret }: PstoreResponse): void {
    if (ret < 0) throw new Error(`command ${cmd} failed with ${ret}`);
  }
}

/** The least that a request takes: for tests of short ones. */
export const LEAST_BYTES = { readable: REQUEST_BYTES, writable: RESPONSE_BYTES } as const;

/** Negotiates as QEMU does, with the original queues of 128, and returns a driver that may begin. */
export async function startPstoreDriver(
  frontEnd: FakeFrontEnd,
  ram: GuestRam,
  options: PstoreDriverOptions & StartOptions & { readonly queue?: DriverQueueOptions } = {},
): Promise<PstoreDriver> {
  const features = options.features ?? F_VERSION_1;
  const queue = { eventIndex: (features & F_EVENT_IDX) !== 0n, ...options.queue };
  const panic = options.panicQueue === true ? [new DriverQueue(ram, queue)] : [];
  const queues = [new DriverQueue(ram, queue), new DriverQueue(ram, queue), ...panic] as const;
  await qemuConnect(frontEnd, queues);
  const driver = new PstoreDriver(frontEnd, queues, options);
  if (options.bootId !== undefined) await driver.writeBootId(options.bootId);
  await qemuStart(frontEnd, ram, queues, { ...options, features });
  return driver;
}
