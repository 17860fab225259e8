import type { LogEvent } from "../virtio/vhost-user/index.js";

/** The same error is told again after so long. */
const REPEAT_MS = 60_000;

interface LastingError {
  readonly text: string;
  readonly toldMs: number;
  /** That failed since it began. */
  readonly requests: number;
}

/**
 * Tells of a store that can't be written to where that begins, once a minute while it lasts, and where it is
 * over or the guest goes away; not of each request that fails.
 */
export class StoreErrorLog {
  readonly #log: (event: LogEvent) => void;
  readonly #now: () => number;
  readonly #errors = new Map<string, LastingError>();

  /** `now`: a clock in milliseconds that doesn't go back. */
  constructor(log: (event: LogEvent) => void, now: () => number = () => performance.now()) {
    this.#log = log;
    this.#now = now;
  }

  /** `what` is a kind of request: of these there are few. */
  failed(what: string, text: string): void {
    const nowMs = this.#now();
    const former = this.#errors.get(what);
    const requests = (former?.requests ?? 0) + 1;
    const isNew = former?.text !== text || nowMs - former.toldMs >= REPEAT_MS;
    this.#errors.set(what, { text, toldMs: isNew ? nowMs : former.toldMs, requests });
    if (isNew) this.#warn(what, text, requests);
  }

  succeeded(what: string): void {
    const former = this.#errors.get(what);
    if (former === undefined) return;
    this.#errors.delete(what);
    const message = `${what}: works again; ${former.requests} failed`;
    this.#log({ level: "info", code: "STORE", message });
  }

  /** The guest is gone. */
  end(): void {
    for (const [what, { text, requests }] of this.#errors) {
      if (requests > 1) this.#warn(what, text, requests);
    }
    this.#errors.clear();
  }

  #warn(what: string, text: string, requests: number): void {
    const count = requests > 1 ? `; ${requests} failed since it began` : "";
    this.#log({ level: "warn", code: "STORE", message: `${what}: ${text}${count}` });
  }
}
