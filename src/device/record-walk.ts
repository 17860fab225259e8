import { errno } from "../os/index.js";
import type { RecordTypeName } from "../records/index.js";
import type { DirectoryStore, JournalEntry, Reading, RequestJournal } from "../store/index.js";
import { type ParsedRequest, WIRE_TYPE } from "./request.js";
import { encodeFileInfo, encodeResponse, FLAG_COMPRESSED } from "./wire.js";

/** The walk over the records that OPEN begins, READ goes on with and CLOSE ends. */
export class RecordWalk {
  readonly #store: DirectoryStore;
  readonly #journal: RequestJournal;
  readonly #warn: (message: string) => void;

  constructor(store: DirectoryStore, journal: RequestJournal, warn: (message: string) => void) {
    this.#store = store;
    this.#journal = journal;
    this.#warn = warn;
  }

  /** Begins one over the records of these types; false where the turn is over before. Throws the system call's error. */
  open(reading: Reading, types: readonly RecordTypeName[]): boolean {
    if (!this.#store.visible.isRead(reading)) return false;
    const upTo = this.#store.visible.lastVisible(types)?.id ?? 0n;
    this.#journal.walk = { after: { id: 0n, type: "dmesg" }, upTo };
    return true;
  }

  close(): void {
    this.#journal.walk = undefined;
  }

  /**
   * Answers a READ that has `room` bytes for data with the next record that can be read, or with a response alone at
   * the walk's end. Undefined where the turn is over before one is found.
   */
  read(
    { cmd, type }: ParsedRequest,
    room: number,
    types: readonly RecordTypeName[],
    entry: JournalEntry,
    isTurnOver: () => boolean,
  ): readonly Uint8Array[] | undefined {
    const { walk } = this.#journal;
    if (walk === undefined) return [encodeResponse(cmd, type, -errno.EBADF)];
    const { upTo } = walk;
    let { after } = walk;
    entry.reading(after.id);
    for (;;) {
      const record = this.#attempt(() => this.#store.visible.firstVisible(types, after));
      if (record === undefined || record.id > upTo) return [encodeResponse(cmd, type, 0)];
      after = record;
      this.#journal.walk = { after, upTo };
      const contents = this.#attempt(() => this.#store.visible.read(record, room));
      if (contents !== undefined) {
        const info = encodeFileInfo({
          id: record.id,
          type: WIRE_TYPE[record.type],
          flags: record.compressed ? FLAG_COMPRESSED : 0,
          len: contents.data.length,
          timeNs: contents.timeNs,
        });
        return [encodeResponse(cmd, type, 0), info, contents.data];
      }
      if (isTurnOver()) return undefined;
    }
  }

  #attempt<T>(action: () => T): T | undefined {
    try {
      return action();
    } catch (error) {
      this.#warn(`a record can't be read: ${String(error)}`);
      return undefined;
    }
  }
}
