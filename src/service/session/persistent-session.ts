import type { Connection, SessionStore } from "../../virtio/vhost-user/index.js";
import { DescriptorQueue } from "./descriptor-queue.js";
import { PersistentConnection } from "./persistent-connection.js";
import { SessionFile } from "./session-file.js";

/** What outlives a daemon of one guest's session. The numbers are good on every thread of this process. */
export interface SessionDescriptors {
  /** A SessionFile's. */
  readonly file: number;
  /** A DescriptorQueue's. */
  readonly ends: readonly [into: number, from: number];
}

/** Those of a guest that has no session yet. */
export const createSession = (): SessionDescriptors => ({
  file: SessionFile.create(),
  ends: DescriptorQueue.create(),
});

/** One guest's session, and what else of the guest outlives this process. */
export class PersistentSession implements SessionStore {
  readonly #file: SessionFile;
  readonly #queue: DescriptorQueue;

  constructor({ file, ends }: SessionDescriptors) {
    this.#file = new SessionFile(file);
    this.#queue = new DescriptorQueue(ends);
  }

  /** The journal of its requests: zeros where a session begins. */
  get journal(): Uint8Array<ArrayBuffer> {
    return this.#file.journal;
  }

  /** How far the guest's rates are used up: zeros where it is new, whatever session begins. */
  get rateLevels(): Float64Array {
    return this.#file.rateLevels;
  }

  /** The id of the last record whose being stored was logged; undefined where the directory is new. */
  get loggedId(): bigint | undefined {
    return this.#file.loggedId;
  }

  set loggedId(id: bigint | undefined) {
    this.#file.loggedId = id;
  }

  resume(): Connection | undefined {
    return PersistentConnection.resume(this.#file, this.#queue);
  }

  begin(accept: () => number | undefined): Connection | undefined {
    return PersistentConnection.begin(this.#file, this.#queue, accept);
  }
}
