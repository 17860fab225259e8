import { errno, errnoOf } from "../os/index.js";
import {
  type BatchResult,
  type DirectoryStore,
  type GuestEnd,
  type JournalEntry,
  MAX_UNDER_WAY,
  type Reading,
  type RecordTypeName,
  RefusedError,
  RequestJournal,
  recover,
  troubleWith,
} from "../store/index.js";
import type {
  DeviceQueue,
  FrontEndEnd,
  LogEvent,
  StartedDriver,
  VirtioDevice,
} from "../virtio/vhost-user/index.js";
import {
  type DescriptorChain,
  type MalformedChain,
  VirtqueueError,
} from "../virtio/virtqueue/index.js";
import { ConfigSpace } from "./config-space.js";
import {
  type DriverFacts,
  type DriverSummary,
  describeDriver,
  summarizeDriver,
} from "./driver-line.js";
import { describeEnd, endKind } from "./guest-end.js";
import { RecordWalk } from "./record-walk.js";
import {
  type ParsedRequest,
  parseRequest,
  type Request,
  type RequestLimits,
  V2_TYPES,
  WIRE_TYPE,
} from "./request.js";
import { TroubleLog } from "./trouble-log.js";
import {
  CONFIG_FLAG_CONSOLE,
  encodeResponse,
  F_EXTENDED,
  F_PANIC_VQ,
  QUEUE_COUNT,
  REQUEST_BYTES,
} from "./wire.js";

/** What a device is made with. */
export interface PstoreDeviceOptions {
  /** The guest's records; they outlive the device, which belongs to one connection. */
  readonly store: DirectoryStore;
  /** Offered to the driver as the size of its buffer, in bytes. */
  readonly bufsize: number;
  /** The most data that one WRITE may carry, in bytes, for drivers that know of it. */
  readonly maxData: number;
  /** The types of records that are taken. */
  readonly types: readonly RecordTypeName[];
  readonly log?: (event: LogEvent) => void;
  /** The guest's front-end went away; how is kept. */
  readonly onEnd?: (end: GuestEnd) => void;
  /** Of the connection's requests; one that ends with this process where not given. */
  readonly journal?: RequestJournal;
}

/** A driver rounds bufsize up to its page size, of which this is the largest on machines with virtio. */
const LARGEST_PAGE_BYTES = 65536;

/** For whatever framing a driver chooses: QEMU's own devices take no more. */
const FRAMING_DESCRIPTORS = 1024;

/** Data that lies in pages all over memory needs a descriptor for each. */
const PAGE_BYTES = 4096;

/** A chain that was served; what it is answered with depends on how its batch's commit went. */
interface Answer {
  readonly chain: DescriptorChain | MalformedChain;
  /** The device-writable bytes; none where the chain has no room for a response. */
  respond(result: BatchResult): readonly Uint8Array[];
}

/** A request that was taken off its queue. */
interface Work {
  readonly chain: DescriptorChain;
  readonly parsed: ParsedRequest;
  readonly entry: JournalEntry;
  /** What OPEN waits for. */
  reading?: Reading;
}

const nothing: readonly Uint8Array[] = [];

/**
 * The virtio-pstore device (docs/protocol.md). Requests are served in the order of the available ring,
 * in batches: one commit makes a whole batch durable before any of it is shown in the used ring.
 */
export class PstoreDevice implements VirtioDevice {
  readonly features = F_EXTENDED | F_PANIC_VQ;
  readonly queueCount = QUEUE_COUNT;
  readonly maxDescriptors: number;
  readonly #store: DirectoryStore;
  readonly #options: PstoreDeviceOptions;
  readonly #config: ConfigSpace;
  /**
   * The same for every driver: a VMM that connects anew, because we were started anew, doesn't repeat by
   * what its driver, which goes on, has said that it is more than one of version 2.
   */
  readonly #limits: RequestLimits;
  #negotiated = 0n;
  readonly #journal: RequestJournal;
  readonly #walk: RecordWalk;
  readonly #troubles: TroubleLog;
  /** The store knows of the driver's boot. */
  #begun = false;
  /** What was begun and goes on in its guest's next turn, of each queue. */
  readonly #held = new Map<DeviceQueue, Work>();
  /** Queues whose last batch is not durable yet. */
  readonly #waiting = new Set<number>();

  /** Throws StoreError where it can't be found out which requests of the journal were done. */
  constructor(options: PstoreDeviceOptions) {
    this.#store = options.store;
    this.#options = options;
    const v2DataBytes = Math.ceil(options.bufsize / LARGEST_PAGE_BYTES) * LARGEST_PAGE_BYTES;
    const mostBytes = Math.max(options.maxData, v2DataBytes);
    this.maxDescriptors = FRAMING_DESCRIPTORS + Math.ceil(mostBytes / PAGE_BYTES);
    this.#config = new ConfigSpace({
      bufsize: options.bufsize,
      flags: options.types.includes("console") ? CONFIG_FLAG_CONSOLE : 0,
      types: options.types.reduce((bits, type) => bits | (1 << WIRE_TYPE[type]), 0),
      maxData: options.maxData,
    });
    const { types } = options;
    this.#limits = { types, maxDataBytes: mostBytes };
    this.#journal = options.journal ?? new RequestJournal();
    this.#walk = new RecordWalk(this.#store, this.#journal, (message) => {
      this.#warn("STORE", message);
    });
    this.#troubles = new TroubleLog((event) => options.log?.(event));
    this.#store.endBoot();
    recover(this.#journal, this.#store);
  }

  negotiated(features: bigint): void {
    this.#negotiated = features;
  }

  started({ queues, configRead }: StartedDriver): void {
    const bits = queues.reduce((all, queue) => all | (1 << queue), 0);
    const logged = this.#journal.startedQueues;
    if ((bits & ~logged) === 0) return;
    this.#journal.startedQueues = logged | bits;
    this.#options.log?.(describeDriver(this.#facts({ queues, configRead })));
  }

  /** What is known of the driver that has started so. */
  summary(started: StartedDriver): DriverSummary {
    return summarizeDriver(this.#facts(started));
  }

  readConfig(): Uint8Array {
    return this.#config.read();
  }

  writeConfig(offset: number, bytes: Uint8Array): void {
    this.#config.write(offset, bytes);
  }

  reset(): void {
    this.close();
    this.#config.reset();
  }

  gone(end: FrontEndEnd): void {
    const timeMs = Date.now();
    const kind = endKind(end, this.#journal.lastDump, timeMs);
    if (kind === undefined) return;
    const { connectedMs } = end;
    const { bootId: boot } = this.#config;
    const ended = { kind, timeMs, connectedMs, ...(boot === undefined ? {} : { boot }) };
    try {
      this.#store.noteEnd(ended);
    } catch (error) {
      if (!(error instanceof Error && "errno" in error)) throw error;
      const trouble = troubleWith(this.#store.directory, error);
      this.#warn("STORE", `how the guest ended isn't kept: ${trouble}`);
    }
    const event = describeEnd(kind, end, timeMs);
    if (event !== undefined) this.#options.log?.(event);
    this.#options.onEnd?.(ended);
  }

  close(): void {
    // What is missing at a boot's end is said there, though this process served none of its requests.
    if (this.#journal.begun) this.#begin();
    this.#store.endBoot();
    this.#begun = false;
    this.#journal.clear();
    this.#held.clear();
    this.#troubles.end();
  }

  process(queue: DeviceQueue): void {
    if (this.#waiting.has(queue.index)) return;
    const answers: Answer[] = [];
    let more = true;
    let broken: unknown;
    do {
      let answer: Answer | "none" | "later";
      try {
        answer = this.#next(queue);
      } catch (error) {
        if (!(error instanceof VirtqueueError)) throw error;
        broken = error;
        answer = "none";
      }
      if (answer === "none") {
        more = false;
        break;
      }
      if (answer === "later") break;
      answers.push(answer);
    } while (answers.length < MAX_UNDER_WAY && !queue.isTurnOver);
    if (answers.length > 0) this.#finish(queue, answers, more);
    else if (more) queue.schedule();
    if (broken !== undefined) throw broken;
  }

  #facts(started: StartedDriver): DriverFacts {
    const { types } = this.#options;
    return { ...started, types, extended: this.#extended, negotiated: this.#negotiated };
  }

  /** The driver knows more than version 2. Where its VMM keeps the feature bits back, its boot id says so. */
  get #extended(): boolean {
    return (this.#negotiated & F_EXTENDED) !== 0n || this.#config.bootId !== undefined;
  }

  /** The types of records that a walk shows. */
  get #shownTypes(): readonly RecordTypeName[] {
    const { types } = this.#options;
    return this.#extended ? types : types.filter((type) => V2_TYPES.includes(type));
  }

  /**
   * The driver's first request: only now is its boot id whole, because a transport may write it byte by
   * byte.
   */
  #begin(): void {
    if (this.#begun) return;
    this.#store.beginBoot(this.#config.bootId, this.#journal);
    this.#journal.begun = true;
    this.#begun = true;
  }

  #finish(queue: DeviceQueue, answers: readonly Answer[], more: boolean): void {
    let synchronous = true;
    this.#waiting.add(queue.index);
    this.#store.commit((result) => {
      this.#waiting.delete(queue.index);
      const responses = answers.map(({ chain, respond }) => ({ chain, parts: respond(result) }));
      if (!queue.live) return;
      for (const { chain, parts } of responses) {
        let usedLength = 0;
        if (chain.kind === "chain") {
          for (const bytes of parts) usedLength += chain.writable.write(bytes, usedLength);
        }
        queue.push(chain.head, usedLength);
      }
      // More may wait: behind this batch, or because it came while the disk was waited for.
      if (more || !synchronous) queue.schedule();
      queue.publish();
    });
    synchronous = false;
  }

  /** Serves the queue's next chain, or the one that was begun; "later" where it goes on in another turn. */
  #next(queue: DeviceQueue): Answer | "none" | "later" {
    const work = this.#held.get(queue) ?? this.#take(queue);
    if (work === undefined) return "none";
    if ("respond" in work) return work;
    const respond = this.#serve(work, queue);
    if (respond === undefined) {
      this.#held.set(queue, work);
      return "later";
    }
    this.#held.delete(queue);
    return { chain: work.chain, respond };
  }

  /** Takes the queue's next chain; with its answer where there is nothing to do. */
  #take(queue: DeviceQueue): Work | Answer | undefined {
    const { index, position } = queue;
    const chain = queue.pop();
    if (chain === undefined) return undefined;
    const parsed = this.#parse(chain);
    if (parsed === undefined || chain.kind === "malformed") {
      this.#journal.begin(index, position);
      return { chain, respond: () => nothing };
    }
    this.#begin();
    const result = this.#journal.resultOf(index, position, parsed.request);
    if (result !== undefined) {
      return { chain, respond: ({ rest }) => statusOf(parsed, -(result || rest)) };
    }
    return { chain, parsed, entry: this.#journal.begin(index, position) };
  }

  /** Undefined where the chain is no request, or can't be answered. */
  #parse(chain: DescriptorChain | MalformedChain): ParsedRequest | undefined {
    if (chain.kind === "malformed") {
      this.#warn(chain.error.code, `a malformed chain: ${chain.error.message}`);
      return undefined;
    }
    const parsed = parseRequest(chain, this.#limits);
    if (parsed === undefined) {
      this.#warn("NO_ROOM", `a chain with ${chain.writable.length} bytes of room for a response`);
    }
    return parsed;
  }

  /** Serves a request, and returns how it is answered; undefined where it goes on in another turn. */
  #serve(work: Work, queue: DeviceQueue): Answer["respond"] | undefined {
    const { parsed, entry } = work;
    const { request } = parsed;
    try {
      const respond = this.#do(work, queue);
      // Of a dump the commit tells.
      if (respond !== undefined && request.kind !== "dump") this.#troubles.succeeded(request.kind);
      return respond;
    } catch (error) {
      if (error instanceof VirtqueueError || !(error instanceof Error && "errno" in error))
        throw error;
      const number = errnoOf(error);
      entry.refused(number);
      // The store itself tells what it refuses.
      if (!(error instanceof RefusedError)) this.#failed(request, error);
      return () => statusOf(parsed, -number);
    }
  }

  #do(work: Work, queue: DeviceQueue): Answer["respond"] | undefined {
    const { parsed, entry } = work;
    const { request } = parsed;
    const status = (ret: number) => statusOf(parsed, ret);
    switch (request.kind) {
      case "open":
        work.reading ??= this.#store.reading;
        return this.#walk.open(work.reading, this.#shownTypes) ? () => status(0) : undefined;
      case "close":
        this.#walk.close();
        return () => status(0);
      case "read": {
        const isTurnOver = () => queue.isTurnOver;
        const answer = this.#walk.read(parsed, request.room, this.#shownTypes, entry, isTurnOver);
        return answer && (() => answer);
      }
      case "dump": {
        const { type, compressed, from } = request;
        if (!this.#store.isReadyFor(type, from.length - REQUEST_BYTES)) return undefined;
        const place = this.#store.write(type, compressed, from.bytes(REQUEST_BYTES), entry);
        return ({ writes }) => {
          const number = writes[place] ?? errno.EIO;
          if (number === 0) {
            this.#troubles.succeeded(request.kind);
            this.#journal.stored(entry);
          } else {
            this.#failed(request, number);
          }
          return status(-number);
        };
      }
      case "stream": {
        const { type, from } = request;
        if (!this.#store.isReadyFor(type, from.length - REQUEST_BYTES)) return undefined;
        this.#store.append(type, from.bytes(REQUEST_BYTES), entry);
        return () => status(0);
      }
      case "erase": {
        const { type, id } = request;
        if (this.#store.isShown(type, id)) entry.erasing(request);
        const known = this.#store.erase(type, id);
        return known ? ({ rest }) => status(-rest) : () => status(-errno.ENOENT);
      }
      case "refused":
        this.#warn("REFUSED", `a request was refused: ${request.why}`);
        return () => status(-request.errno);
    }
  }

  #failed({ kind }: Request, trouble: unknown): void {
    this.#troubles.failed(kind, troubleWith(this.#store.directory, trouble));
  }

  #warn(code: string, message: string): void {
    this.#options.log?.({ level: "warn", code, message });
  }
}

const statusOf = ({ cmd, type }: ParsedRequest, ret: number): readonly Uint8Array[] => [
  encodeResponse(cmd, type, ret),
];
