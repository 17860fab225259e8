import type { GuestEnd, RecordTypeName } from "../records/index.js";
import { type DirectoryStore, MAX_UNDER_WAY, RequestJournal, recover } from "../store/index.js";
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
import { keepEnd } from "./guest-end.js";
import {
  type ParsedRequest,
  parseRequest,
  type RequestLimits,
  V2_TYPES,
  WIRE_TYPE,
} from "./request.js";
import { RequestHandler, type Respond, type ServedRequest, statusOf } from "./request-handler.js";
import { CONFIG_FLAG_CONSOLE, F_EXTENDED, F_PANIC_VQ, QUEUE_COUNT } from "./wire.js";

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
  /** No bytes where the chain has no room for a response. */
  readonly respond: Respond;
}

/** A request that was taken off its queue. */
interface Work extends ServedRequest {
  readonly chain: DescriptorChain;
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
  readonly #log: (event: LogEvent) => void;
  readonly #config: ConfigSpace;
  /**
   * The same for every driver: a VMM that connects anew, because we were started anew, doesn't repeat by
   * what its driver, which goes on, has said that it is more than one of version 2.
   */
  readonly #limits: RequestLimits;
  #negotiated = 0n;
  readonly #journal: RequestJournal;
  readonly #handler: RequestHandler;
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
    this.#log = options.log ?? (() => undefined);
    const v2DataBytes = Math.ceil(options.bufsize / LARGEST_PAGE_BYTES) * LARGEST_PAGE_BYTES;
    const mostBytes = Math.max(options.maxData, v2DataBytes);
    this.maxDescriptors = FRAMING_DESCRIPTORS + Math.ceil(mostBytes / PAGE_BYTES);
    this.#config = new ConfigSpace({
      bufsize: options.bufsize,
      flags: options.types.includes("console") ? CONFIG_FLAG_CONSOLE : 0,
      types: options.types.reduce((bits, type) => bits | (1 << WIRE_TYPE[type]), 0),
      maxData: options.maxData,
    });
    this.#limits = { types: options.types, maxDataBytes: mostBytes };
    this.#journal = options.journal ?? new RequestJournal();
    this.#handler = new RequestHandler({
      store: this.#store,
      journal: this.#journal,
      visibleTypes: () => this.#visibleTypes,
      log: this.#log,
    });
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
    this.#log(describeDriver(this.#facts({ queues, configRead })));
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
    const ended = keepEnd(end, {
      store: this.#store,
      dumped: this.#journal.lastDump,
      boot: this.#config.bootId,
      log: this.#log,
    });
    if (ended !== undefined) this.#options.onEnd?.(ended);
  }

  close(): void {
    // What is missing at a boot's end is said there, though this process served none of its requests.
    if (this.#journal.begun) this.#begin();
    this.#store.endBoot();
    this.#begun = false;
    this.#journal.clear();
    this.#held.clear();
    this.#handler.end();
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
      if (answer === "none") more = false;
      if (typeof answer === "string") break;
      answers.push(answer);
    } while (answers.length < MAX_UNDER_WAY && !queue.isTurnOver);
    if (answers.length > 0) this.#finish(queue, answers, more);
    else if (more) queue.schedule();
    if (broken !== undefined) throw broken;
  }

  #facts(started: StartedDriver): DriverFacts {
    const [extended, negotiated] = [this.#extended, this.#negotiated];
    return { ...started, types: this.#options.types, extended, negotiated };
  }

  /** The driver knows more than version 2. Where its VMM keeps the feature bits back, its boot id says so. */
  get #extended(): boolean {
    return (this.#negotiated & F_EXTENDED) !== 0n || this.#config.bootId !== undefined;
  }

  /** The types of records that a walk shows. */
  get #visibleTypes(): readonly RecordTypeName[] {
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
    const respond = this.#handler.serve(work, () => queue.isTurnOver);
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
      const { code, message } = chain.error;
      this.#log({ level: "warn", code, message: `a malformed chain: ${message}` });
      return undefined;
    }
    const parsed = parseRequest(chain, this.#limits);
    if (parsed === undefined) {
      const message = `a chain with ${chain.writable.length} bytes of room for a response`;
      this.#log({ level: "warn", code: "NO_ROOM", message });
    }
    return parsed;
  }
}
