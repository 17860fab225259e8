import { errno, errnoOf } from "../os/index.js";
import type { RecordTypeName } from "../records/index.js";
import {
  type BatchResult,
  type DirectoryStore,
  errorText,
  type JournalEntry,
  type Reading,
  RefusedError,
  type RequestJournal,
} from "../store/index.js";
import type { LogEvent } from "../virtio/vhost-user/index.js";
import { VirtqueueError } from "../virtio/virtqueue/index.js";
import { RecordWalk } from "./record-walk.js";
import type { ParsedRequest, Request } from "./request.js";
import { StoreErrorLog } from "./store-error-log.js";
import { encodeResponse, REQUEST_BYTES } from "./wire.js";

/** The device-writable bytes of an answer, once it is known how its batch's commit went. */
export type Respond = (result: BatchResult) => readonly Uint8Array[];

/** A request that is served, in one turn or several. */
export interface ServedRequest {
  readonly parsed: ParsedRequest;
  readonly entry: JournalEntry;
  /** What OPEN waits for. */
  reading?: Reading;
}

/** What requests are served with. */
export interface RequestHandlerOptions {
  readonly store: DirectoryStore;
  readonly journal: RequestJournal;
  /** The types of records that a walk shows, now. */
  readonly visibleTypes: () => readonly RecordTypeName[];
  readonly log: (event: LogEvent) => void;
}

/** Does what requests ask for. */
export class RequestHandler {
  readonly #options: RequestHandlerOptions;
  readonly #walk: RecordWalk;
  readonly #errors: StoreErrorLog;

  constructor(options: RequestHandlerOptions) {
    this.#options = options;
    this.#walk = new RecordWalk(options.store, options.journal, (message) => {
      this.#warn("STORE", message);
    });
    this.#errors = new StoreErrorLog(options.log);
  }

  /** Serves a request, and returns how it is answered; undefined where it goes on in another turn. */
  serve(served: ServedRequest, isTurnOver: () => boolean): Respond | undefined {
    const { parsed, entry } = served;
    const { request } = parsed;
    try {
      const respond = this.#do(served, isTurnOver);
      // Of a dump the commit tells.
      if (respond !== undefined && request.kind !== "dump") this.#errors.succeeded(request.kind);
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

  /** The guest is gone. */
  end(): void {
    this.#errors.end();
  }

  #do(served: ServedRequest, isTurnOver: () => boolean): Respond | undefined {
    const { store, journal, visibleTypes } = this.#options;
    const { parsed, entry } = served;
    const { request } = parsed;
    const status = (ret: number) => statusOf(parsed, ret);
    switch (request.kind) {
      case "open":
        served.reading ??= store.visible.reading;
        return this.#walk.open(served.reading, visibleTypes()) ? () => status(0) : undefined;
      case "close":
        this.#walk.close();
        return () => status(0);
      case "read": {
        const answer = this.#walk.read(parsed, request.room, visibleTypes(), entry, isTurnOver);
        return answer && (() => answer);
      }
      case "dump": {
        const { type, compressed, from } = request;
        const data = from.bytes(REQUEST_BYTES);
        if (!store.isReadyFor(type, data, compressed)) return undefined;
        const place = store.write(type, compressed, data, entry);
        return ({ writes }) => {
          const number = writes[place] ?? errno.EIO;
          if (number === 0) {
            this.#errors.succeeded(request.kind);
            journal.stored(entry);
          } else {
            this.#failed(request, number);
          }
          return status(-number);
        };
      }
      case "stream": {
        const { type, from } = request;
        const data = from.bytes(REQUEST_BYTES);
        if (!store.isReadyFor(type, data)) return undefined;
        store.append(type, data, entry);
        return () => status(0);
      }
      case "erase": {
        const { type, id } = request;
        if (store.visible.isVisible(type, id)) entry.erasing(request);
        const known = store.erase(type, id);
        return known ? ({ rest }) => status(-rest) : () => status(-errno.ENOENT);
      }
      case "refused":
        this.#warn("REFUSED", `a request was refused: ${request.why}`);
        return () => status(-request.errno);
    }
  }

  #failed({ kind }: Request, error: unknown): void {
    this.#errors.failed(kind, errorText(this.#options.store.directory, error));
  }

  #warn(code: string, message: string): void {
    this.#options.log({ level: "warn", code, message });
  }
}

/** A response alone. */
export const statusOf = ({ cmd, type }: ParsedRequest, ret: number): readonly Uint8Array[] => [
  encodeResponse(cmd, type, ret),
];
