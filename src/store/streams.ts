import { constants } from "node:fs";
import { join } from "node:path";
import { type Bytes, errno, errnoOf } from "../os/index.js";
import { missingNote } from "../records/note.js";
import {
  formatRecordName,
  isStream,
  RECORD_TYPES,
  type RecordName,
  type StreamTypeName,
} from "../records/record-name.js";
import type { StreamSegment } from "../records/stream-segment.js";
import { type Files, isSystemError, lengthOf } from "./files.js";
import { GrowingFile } from "./growing-file.js";
import { type JournalEntry, RequestJournal } from "./journal/index.js";
import type { NewStreamFile } from "./open-directory.js";
import type { StreamIndex } from "./stream-index.js";

const { O_APPEND, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants;

/** What streams need of the store that they are part of. */
export interface StreamHost {
  readonly files: Files;
  readonly directory: string;
  /** Makes an empty file for a stream; `naming` is called before it has its name. Throws the system call's error. */
  begin(type: StreamTypeName, naming: (id: bigint, inode: number) => void): NewStreamFile;
  /** The guest erased the record: its boot's data goes into a new one. */
  isErased(record: RecordName): boolean;
  /**
   * Throws where the type has no room for so much more, in the file `into` or in a new one, and can't be given it. What
   * is returned makes the room, and is called when the data is in its file.
   */
  findRoom(type: StreamTypeName, into: RecordName | undefined, bytes: number): () => void;
  /** The file has so many bytes more. */
  grew(name: RecordName, bytes: number): void;
  /** The most bytes that one file of the type may have. */
  segmentBytes(type: StreamTypeName): number;
}

/** The file that a stream is at. */
interface OpenSegment extends StreamSegment {
  readonly file: GrowingFile;
  readonly inode: number;
  /** In bytes. */
  size: number;
  /** `.streams` has a line for it, or needs none. */
  noted: boolean;
}

/** Descriptors of streams: what is to be synced, and what is to be closed after that. */
export interface StreamFiles {
  readonly sync: number[];
  readonly close: number[];
}

/** The streams of the current boot, one for each type. */
export class Streams {
  readonly #host: StreamHost;
  readonly #index: StreamIndex;
  readonly #open = new Map<StreamTypeName, OpenSegment>();
  readonly #dirty = new Set<number>();
  /** Of files that nothing is appended to any more. */
  #left: number[] = [];
  #boot: string | undefined;
  /** Knows which files the boot's streams are at, and what is missing of them; our own where the boot brings none. */
  #journal = new RequestJournal();

  constructor(host: StreamHost, index: StreamIndex) {
    this.#host = host;
    this.#index = index;
  }

  /** Whether the record belongs to the current boot, so that its stream may still grow. */
  isCurrent(record: RecordName): boolean {
    const { type } = record;
    if (!isStream(type)) return false;
    const current = this.#open.get(type) ?? this.#journaled(type) ?? this.#last(type);
    return current !== undefined && current.first.id === this.firstOf(record).id;
  }

  /** The record that the stream began with which this one is part of. */
  firstOf(record: RecordName): RecordName {
    const open = isStream(record.type) ? this.#open.get(record.type) : undefined;
    if (open?.name.id === record.id) return open.first;
    return this.#index.get(record)?.first ?? record;
  }

  /** The file that is appended to. */
  openPiece(type: StreamTypeName): RecordName | undefined {
    return this.#open.get(type)?.name;
  }

  get boot(): string | undefined {
    return this.#boot;
  }

  get journal(): RequestJournal {
    return this.#journal;
  }

  /**
   * A boot begins, or goes on with the files that its journal knows; `boot` is undefined where the driver
   * told no id. The one before was ended.
   */
  begin(boot: string | undefined, journal = this.#journal): void {
    this.#boot = boot;
    this.#journal = journal;
    for (const type of RECORD_TYPES.filter(isStream)) {
      if (journal.streamFile(type) !== undefined) this.#goOn(type);
    }
  }

  /** Ends the boot. */
  end(): StreamFiles {
    for (const [type, segment] of this.#open) {
      this.#noteAtEnd(type, segment);
      this.#left.push(segment.file.fd);
    }
    this.#open.clear();
    this.#boot = undefined;
    this.#journal = new RequestJournal();
    return this.take();
  }

  /** All of `data`, or nothing. Throws the system call's error. */
  append(type: StreamTypeName, data: readonly Bytes[], entry?: JournalEntry): void {
    const former = this.#current(type) ?? this.#resume(type);
    const all = [...this.#missingNote(type, former), ...data];
    const bytes = lengthOf(all);
    const most = this.#host.segmentBytes(type);
    const fits = former !== undefined && (former.size === 0 || former.size + bytes <= most);
    const makeRoom = this.#host.findRoom(type, fits ? former.name : undefined, bytes);
    const segment = fits ? former : this.#begin(type, former);
    this.#note(segment);
    // Bytes of what failed before would be taken for this request's, did the process die now.
    segment.file.mend();
    entry?.appending(segment.name, segment.size, bytes);
    this.#grow(segment, all);
    this.#journal.setMissing(type, 0);
    entry?.appended();
    makeRoom();
  }

  /** The guest sent so many bytes that are not in its stream: that is said where they are missing. */
  miss(type: StreamTypeName, bytes: number): void {
    this.#journal.setMissing(type, this.#journal.missing(type) + bytes);
  }

  /** The files that have to be synced, and closed; from now on they count as such. */
  take(): StreamFiles {
    const files = { sync: [...this.#dirty, ...this.#index.takeDirty()], close: this.#left };
    this.#dirty.clear();
    this.#left = [];
    return files;
  }

  get dirty(): boolean {
    return this.#dirty.size > 0;
  }

  #last(type: StreamTypeName): StreamSegment | undefined {
    return this.#boot === undefined ? undefined : this.#index.last(this.#boot, type);
  }

  /** The open file, unless the host's owner removed it: what comes now belongs into another. */
  #current(type: StreamTypeName): OpenSegment | undefined {
    const segment = this.#open.get(type);
    if (segment === undefined || this.#host.files.fstat(segment.file.fd).nlink > 0) return segment;
    this.#open.delete(type);
    this.#dirty.delete(segment.file.fd);
    this.#left.push(segment.file.fd);
    return undefined;
  }

  /** The file that the journal knows, which may have no line in `.streams` yet. */
  #journaled(type: StreamTypeName): StreamSegment | undefined {
    const file = this.#journal.streamFile(type);
    if (file === undefined) return undefined;
    const name = { type, id: file.id, compressed: false };
    return this.#index.get(name) ?? { boot: this.#boot, name, first: name, offset: 0 };
  }

  /** The file that this boot's stream was at before a reset, or before this process was started. */
  #resume(type: StreamTypeName): OpenSegment | undefined {
    const journaled = this.#journaled(type);
    const segment = journaled && this.#reopen(journaled, this.#journal.streamFile(type)?.inode);
    if (segment !== undefined) return segment;
    const last = this.#last(type);
    return last === undefined ? undefined : this.#reopen(last);
  }

  /**
   * Opens the file that the journal knows: what is in it may not be synced yet, and the boot may end before more
   * comes. Where that fails, whoever appends is told.
   */
  #goOn(type: StreamTypeName): void {
    try {
      const segment = this.#resume(type);
      if (segment !== undefined) this.#dirty.add(segment.file.fd);
    } catch (error) {
      if (!isSystemError(error)) throw error;
    }
  }

  /** Undefined where the file isn't there any more, has another inode than expected, or was erased. */
  #reopen(last: StreamSegment, inode?: number): OpenSegment | undefined {
    const { files, directory } = this.#host;
    if (!isStream(last.name.type) || this.#host.isErased(last.name)) return undefined;
    let fd: number;
    try {
      const path = join(directory, formatRecordName(last.name));
      fd = files.open(path, O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK);
    } catch (error) {
      // Its owner moved it away.
      if (errnoOf(error) === errno.ENOENT) return undefined;
      throw error;
    }
    const { size, ino } = files.fstat(fd);
    if (inode !== undefined && ino !== inode) {
      files.close(fd);
      return undefined;
    }
    const noted = last.boot === undefined || this.#index.get(last.name) !== undefined;
    const segment = { ...last, file: new GrowingFile(files, fd), inode: ino, size, noted };
    this.#open.set(last.name.type, segment);
    this.#journal.setStreamFile(last.name.type, last.name.id, ino);
    return segment;
  }

  /** A new file: for a new stream, or for one that goes on. */
  #begin(type: StreamTypeName, former: OpenSegment | undefined): OpenSegment {
    const { name, file, inode } = this.#host.begin(type, (id, ino) => {
      // One that goes on with another is the stream's once `.streams` says so.
      if (former === undefined) this.#journal.setStreamFile(type, id, ino);
    });
    const segment: OpenSegment = {
      boot: this.#boot,
      name,
      first: former?.first ?? name,
      offset: former === undefined ? 0 : former.offset + former.size,
      file,
      inode,
      size: 0,
      noted: this.#boot === undefined && former === undefined,
    };
    if (former !== undefined) this.#left.push(former.file.fd);
    this.#open.set(type, segment);
    return segment;
  }

  /**
   * Behind the file, not before: a line without its file could come to mean another boot's. Where it
   * fails the data isn't taken, and the next data tries it again.
   */
  #note(segment: OpenSegment): void {
    if (segment.noted) return;
    const { boot, name, first, offset } = segment;
    this.#index.add({ boot, name, first, offset });
    segment.noted = true;
    if (isStream(name.type)) this.#journal.setStreamFile(name.type, name.id, segment.inode);
  }

  #grow(segment: OpenSegment, data: readonly Bytes[]): void {
    const bytes = lengthOf(data);
    segment.file.append(data);
    segment.size += bytes;
    this.#host.grew(segment.name, bytes);
    this.#dirty.add(segment.file.fd);
  }

  /** A line that says how much is missing between what is in the stream and what comes now. */
  #missingNote(type: StreamTypeName, segment: OpenSegment | undefined): Uint8Array[] {
    const bytes = this.#journal.missing(type);
    if (bytes === 0) return [];
    const start = segment === undefined || this.#endsLine(segment) ? "" : "\n";
    return [Buffer.from(start + missingNote(bytes))];
  }

  #endsLine({ file, size }: OpenSegment): boolean {
    const last = Buffer.alloc(1);
    const count = size === 0 ? 0 : this.#host.files.read(file.fd, last, size - 1);
    return count === 0 || last[0] === 0x0a;
  }

  /** Nothing more comes behind what is missing. What can't be noted was told to the guest, and is logged. */
  #noteAtEnd(type: StreamTypeName, segment: OpenSegment): void {
    try {
      const note = this.#missingNote(type, segment);
      if (note.length > 0) this.#grow(segment, note);
      this.#journal.setMissing(type, 0);
    } catch (error) {
      if (!isSystemError(error)) throw error;
    }
  }
}
