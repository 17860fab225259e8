import { type DirectoryStore, storeError } from "../store/index.js";
import type { Ledger, LedgerEntry, Note } from "./ledger.js";
import type { Request } from "./request.js";

/** A request that a process took off its ring and died before it gave it back. */
export interface Recovered {
  readonly note: Note;
  /** What it was about to do has happened, or was refused. */
  readonly done: boolean;
}

/** Finds out what became of requests that were under way when a process died. */
export class Recovery {
  readonly #found = new Map<LedgerEntry, Recovered>();

  /**
   * Takes back what was half appended to a stream. No boot has begun in the store yet. Throws StoreError
   * where it can't be found out: no answer would be true then.
   */
  constructor(ledger: Ledger, store: DirectoryStore) {
    try {
      for (const entry of ledger.entries) {
        const { note } = entry;
        if (note === undefined) continue;
        const done = isDone(note, store);
        this.#found.set(entry, { note, done });
        // Other requests may go into the stream before this one is done again: its size says nothing then.
        if (note.kind === "append" && !done) entry.begin(entry.position);
      }
    } catch (error) {
      throw storeError(store.directory, error);
    }
    store.syncAll();
  }

  /** What became of the request at this position, told once; undefined where it had done nothing. */
  take(entry: LedgerEntry, position: number, request: Request): Recovered | undefined {
    const found = this.#found.get(entry);
    this.#found.delete(entry);
    return found !== undefined && entry.position === position && isOf(found.note, request)
      ? found
      : undefined;
  }
}

function isDone(note: Note, store: DirectoryStore): boolean {
  switch (note.kind) {
    case "dump":
      return store.isStored(note.type, note.id, note.inode);
    case "append":
      return store.settleAppend(note.type, note.id, note.before, note.bytes);
    case "erase":
      return !store.isShown(note.type, note.id);
    case "read":
      return false;
    case "appended":
    case "refused":
      return true;
  }
}

/** A guest may have changed its memory since: then it is another request, which is served as such. */
function isOf(note: Note, request: Request): boolean {
  switch (note.kind) {
    case "dump":
      return request.kind === "dump" && request.type === note.type;
    case "append":
    case "appended":
      return request.kind === "stream" && request.type === note.type;
    case "erase":
      return request.kind === "erase" && request.type === note.type && request.id === note.id;
    case "read":
      return request.kind === "read";
    case "refused":
      return true;
  }
}
