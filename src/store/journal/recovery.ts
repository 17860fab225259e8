import { constants } from "node:fs";
import { join } from "node:path";
import {
  formatRecordName,
  isStream,
  type RecordName,
  type RecordTypeName,
} from "../../records/record-name.js";
import type { Files } from "../files.js";
import { storeError } from "../store-error.js";
import type { JournalEntry } from "./journal-entry.js";
import type { RequestJournal } from "./request-journal.js";

/** Where it shows what was done: the records. */
export interface Evidence {
  readonly directory: string;
  readonly files: Files;
  readonly visible: { isVisible(type: RecordTypeName, id: bigint): boolean };
}

/**
 * Has a journal that a killed process left say only what was done: a request whose effect didn't take place has none
 * any more, and what was half appended to a stream is taken back. Done again it finds the same: this process may be
 * killed, too. Throws StoreError where it can't be found out: no answer would be true then.
 */
export function recover(journal: RequestJournal, store: Evidence): void {
  if (!journal.begun) return;
  try {
    for (const entry of journal.entries()) recoverEntry(entry, journal, store);
  } catch (error) {
    throw storeError(store.directory, error);
  }
}

function recoverEntry(entry: JournalEntry, journal: RequestJournal, store: Evidence): void {
  const { effect } = entry;
  switch (effect?.kind) {
    case "dump":
      if (isStored(effect, effect.inode, store)) journal.stored(entry);
      else entry.begin(entry.position);
      return;
    case "appending":
      // Other requests may go into the stream before this one is done again: its size says nothing then.
      if (!isAppended(effect, store)) entry.begin(entry.position);
      else {
        if (isStream(effect.type)) journal.setMissing(effect.type, 0);
        entry.appended();
      }
      return;
    case "erase":
      if (store.visible.isVisible(effect.type, effect.id)) entry.begin(entry.position);
  }
}

/** Whether a record's file is the one with this inode. */
function isStored(
  { type, id }: Pick<RecordName, "type" | "id">,
  inode: number,
  { directory, files }: Evidence,
): boolean {
  const plain = { type, id, compressed: false };
  return [plain, { ...plain, compressed: true }, { ...plain, gzip: true }].some(
    (name) => files.lstat(join(directory, formatRecordName(name)))?.ino === inode,
  );
}

/**
 * Whether a stream's file has all of what was about to be appended to it behind its first `before` bytes. Where it
 * has a part of it, that is taken away again.
 */
function isAppended(
  effect: { readonly before: number; readonly bytes: number } & Pick<RecordName, "type" | "id">,
  { directory, files }: Evidence,
): boolean {
  const { type, id, before, bytes } = effect;
  const path = join(directory, formatRecordName({ type, id, compressed: false }));
  const found = files.lstat(path);
  if (found?.isFile() !== true) return false;
  if (found.size > before && found.size < before + bytes) {
    const fd = files.open(path, constants.O_RDWR | constants.O_NOFOLLOW);
    try {
      files.truncate(fd, before);
    } finally {
      files.close(fd);
    }
  }
  return found.size >= before + bytes;
}
