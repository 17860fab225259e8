import type { LogEvent } from "../../virtio/vhost-user/index.js";

/** What depends on how VMMs are started, and so comes for every guest. */
const SHARED: readonly string[] = ["UNSEALED_MEMORY"];

/** Guests that are started together are told of together. */
const FIRST_SUM_MS = 10_000;
const NEXT_SUM_MS = 3_600_000;

/** One code's guests. */
interface Notice {
  readonly guests: Set<string>;
  /** How many of them the log has counted. */
  told: number;
  waits: boolean;
}

/** What a notice is told with, and waits with. */
export interface NoticeHost {
  tell(guest: string, event: LogEvent): void;
  after(delayMs: number, task: () => void): void;
}

/** Tells what comes for every guest once in a process's life, for the first, and of the others how many there are. */
export class SharedNotices {
  readonly #host: NoticeHost;
  readonly #notices = new Map<string, Notice>();

  constructor(host: NoticeHost) {
    this.#host = host;
  }

  /** False where the event is about its guest alone, and is told as such. */
  take(guest: string, event: LogEvent): boolean {
    if (!SHARED.includes(event.code)) return false;
    const notice = this.#notices.get(event.code);
    if (notice === undefined) {
      const first = { guests: new Set([guest]), told: 1, waits: false };
      this.#notices.set(event.code, first);
      this.#host.tell(guest, event);
      this.#wait(first, event, FIRST_SUM_MS);
      return true;
    }
    notice.guests.add(guest);
    if (!notice.waits && notice.guests.size > notice.told) this.#wait(notice, event, FIRST_SUM_MS);
    return true;
  }

  #wait(notice: Notice, event: LogEvent, delayMs: number): void {
    notice.waits = true;
    this.#host.after(delayMs, () => {
      notice.waits = false;
      const { size } = notice.guests;
      const more = size - notice.told;
      if (more === 0) return;
      notice.told = size;
      const message = `${more} more ${more === 1 ? "guest" : "guests"}, ${size} since the start: ${event.message}`;
      this.#host.tell("", { ...event, message, details: { guests: size } });
      this.#wait(notice, event, NEXT_SUM_MS);
    });
  }
}
