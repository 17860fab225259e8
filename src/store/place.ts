import { errno, errnoOf } from "../os/index.js";
import { type RecordName, recordKey, type StreamTypeName } from "../records/record-name.js";
import { type Files, isSystemError } from "./files.js";
import type { GrowingFile } from "./growing-file.js";
import { OpenDirectory } from "./open-directory.js";
import type { TableEntry } from "./record-table.js";
import { type Dropped, RoomKeeper } from "./room-keeper.js";
import { pieceBytes, type Rooms } from "./rooms.js";
import { Streams } from "./streams.js";

/** What a place is opened with. */
export interface PlaceOptions {
  readonly files: Files;
  readonly path: string;
  /** Ids begin here, or behind those that the directory knows of. */
  readonly firstId: bigint;
  readonly rooms: Rooms;
  /** Closes a descriptor once no commit that is under way uses it. */
  readonly retire: (fd: number) => void;
  /** Whether the guest's turn has lasted long enough. */
  readonly isTurnOver: () => boolean;
  /** Does something in another turn. */
  readonly later: (task: () => void) => void;
  readonly onDropped: (dropped: Dropped) => void;
}

/** A directory, and what works on it. Another takes its place where another directory does. */
export class Place {
  readonly directory: OpenDirectory;
  readonly streams: Streams;
  readonly rooms: RoomKeeper;
  /** Names were made or removed that aren't synced. */
  namesChanged = false;
  readonly #options: PlaceOptions;

  /** Throws DirectoryInUseError, or the system call's error. */
  constructor(options: PlaceOptions) {
    const { files, path, firstId, rooms, retire } = options;
    this.#options = options;
    const directory = new OpenDirectory({ files, retire }, path, firstId);
    this.directory = directory;
    this.streams = new Streams(
      {
        files,
        directory: path,
        begin: (type, naming) => this.#beginStream(type, naming),
        isErased: (record) => directory.erased.has(recordKey(record)),
        findRoom: (type, into, bytes) => {
          const wanted = { type, records: into === undefined ? 1 : 0, bytes, into };
          this.rooms.prepare(wanted);
          return this.rooms.find(wanted);
        },
        grew: (name, bytes) => {
          const { size } = directory.table.get(recordKey(name)) ?? { size: 0 };
          directory.table.set({ name, size: size + bytes, timeMs: Date.now() });
        },
        pieceBytes: (type) => pieceBytes(rooms[type]),
      },
      directory.index,
    );
    this.rooms = new RoomKeeper({
      files,
      rooms,
      directory,
      read: (number, isTurnOver) => this.read(number, isTurnOver),
      isTurnOver: options.isTurnOver,
      later: options.later,
      onDropped: (dropped) => {
        this.namesChanged = true;
        options.onDropped(dropped);
      },
    });
  }

  /** Whether the guest isn't shown the record: it isn't durable, it was erased, or its boot goes on. */
  isHidden({ name, pending }: Pick<TableEntry, "name" | "pending">): boolean {
    const erased = this.directory.erased.has(recordKey(name));
    return pending === true || erased || this.streams.isCurrent(name);
  }

  /** As OpenDirectory's. */
  read(number: number, isTurnOver: () => boolean): boolean {
    return this.#noteNext(() => this.directory.read(number, isTurnOver));
  }

  /** As OpenDirectory's. */
  readAnew(): void {
    this.#noteNext(() => this.directory.readAnew());
  }

  /** The guest erased a record that is kept. Throws the system call's error. */
  setErased(key: string): void {
    this.directory.erased.add(key);
    this.directory.table.setErased(key);
  }

  /** Notes on what is gone can wait: nothing depends on it. */
  prune(): void {
    try {
      this.directory.prune();
    } catch (error) {
      if (!isSystemError(error)) throw error;
    }
  }

  /** The prepared file is in use. */
  take(): void {
    this.directory.next.take();
    this.namesChanged = true;
  }

  /** A file that was prepared for another id was made, where that has changed. */
  #noteNext<T>(action: () => T): T {
    const { next } = this.directory;
    const { id } = next;
    const result = action();
    if (next.id !== id) this.namesChanged = true;
    return result;
  }

  #beginStream(
    type: StreamTypeName,
    naming: (id: bigint, inode: number) => void,
  ): { readonly name: RecordName; readonly file: GrowingFile; readonly inode: number } {
    const { next, table } = this.directory;
    const begin = () => {
      const { id, file, path, inode } = next.get();
      const name: RecordName = { type, id, compressed: false };
      naming(id, inode);
      this.#options.files.renameNew(path, this.directory.pathOf(name));
      this.take();
      table.set({ name, size: 0, timeMs: Date.now() });
      this.prune();
      return { name, file, inode };
    };
    try {
      return begin();
    } catch (error) {
      if (errnoOf(error) !== errno.EEXIST) throw error;
      // Somebody put a file of the same name into the directory since the id was chosen.
      this.readAnew();
      return begin();
    }
  }
}
