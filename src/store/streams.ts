import { constants, fstatSync, openSync } from "node:fs";
import { join } from "node:path";
import { errno, errnoOf, SystemError } from "../native/index.js";
import { append } from "./files.js";
import { formatRecordName, isStream, type RecordName, type StreamTypeName } from "./record-name.js";
import { StreamIndex } from "./stream-index.js";

const { O_APPEND, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants;

/** A stream's file. */
export interface OpenStream {
  readonly name: RecordName;
  readonly fd: number;
}

/** What streams need of the store that they are part of. */
export interface StreamHost {
  readonly directory: string;
  /** Makes an empty file for a new stream. Throws the system call's error. */
  begin(type: StreamTypeName): OpenStream;
  /** Closes a stream's file once nothing that is under way needs it. */
  retire(stream: OpenStream): void;
  /** The guest erased the record: its boot's data goes into a new one. */
  isErased(record: RecordName): boolean;
  /** Throws where the type has no room for so many bytes more. */
  expectRoom(type: StreamTypeName, records: number, bytes: number): void;
  grew(type: StreamTypeName, bytes: number): void;
  /** The most bytes that one stream of the type may have. */
  mostBytes(type: StreamTypeName): number;
}

/** The streams of the current boot, one for each type. */
export class Streams {
  readonly #host: StreamHost;
  readonly #index: StreamIndex;
  readonly #open = new Map<StreamTypeName, OpenStream & { size: number }>();
  readonly #dirty = new Set<number>();
  #boot: string | undefined;

  constructor(host: StreamHost) {
    this.#host = host;
    this.#index = new StreamIndex(host.directory);
  }

  /** Whether the record belongs to the current boot, so that it may still grow. */
  isCurrent({ type, id }: Pick<RecordName, "type" | "id">): boolean {
    if (!isStream(type)) return false;
    const boot = this.#boot;
    const current =
      this.#open.get(type)?.name ?? (boot === undefined ? undefined : this.#index.get(boot, type));
    return current?.id === id;
  }

  /** A boot begins; `boot` is undefined where the driver told no id. The one before was ended. */
  begin(boot: string | undefined): void {
    this.#boot = boot;
  }

  /** Ends the boot: what is open is for the caller to sync and close. */
  end(): { readonly streams: OpenStream[]; readonly dirty: number[] } {
    const streams = [...this.#open.values()];
    const dirty = this.takeDirty();
    this.#open.clear();
    this.#boot = undefined;
    return { streams, dirty };
  }

  /** All of `data`, or nothing. Throws the system call's error. */
  append(type: StreamTypeName, data: readonly Uint8Array[], bytes: number): void {
    const most = this.#host.mostBytes(type);
    const stream = this.#current(type) ?? this.#resume(type) ?? this.#begin(type, bytes);
    if (stream.size + bytes > most) {
      const path = join(this.#host.directory, formatRecordName(stream.name));
      throw new SystemError("write", errno.ENOSPC, path);
    }
    this.#host.expectRoom(type, 0, bytes);
    append(stream.fd, data);
    stream.size += bytes;
    this.#host.grew(type, bytes);
    this.#dirty.add(stream.fd);
  }

  /** The files that have to be synced; from now on they count as such. */
  takeDirty(): number[] {
    const fds = [...this.#dirty, ...this.#index.takeDirty()];
    this.#dirty.clear();
    return fds;
  }

  get dirty(): boolean {
    return this.#dirty.size > 0;
  }

  close(): void {
    this.#index.close();
  }

  /** The open stream, unless the host's owner removed its file: what comes now belongs into another. */
  #current(type: StreamTypeName): (OpenStream & { size: number }) | undefined {
    const stream = this.#open.get(type);
    if (stream === undefined || fstatSync(stream.fd).nlink > 0) return stream;
    this.#open.delete(type);
    this.#dirty.delete(stream.fd);
    this.#host.retire(stream);
    return undefined;
  }

  /** The stream that this boot began before a reset, or before this process was started. */
  #resume(type: StreamTypeName): (OpenStream & { size: number }) | undefined {
    const boot = this.#boot;
    const name = boot === undefined ? undefined : this.#index.get(boot, type);
    if (name === undefined || this.#host.isErased(name)) return undefined;
    let fd: number;
    try {
      const path = join(this.#host.directory, formatRecordName(name));
      fd = openSync(path, O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK);
    } catch (error) {
      // Its owner moved it away.
      if (errnoOf(error) === errno.ENOENT) return undefined;
      throw error;
    }
    return this.#opened(type, { name, fd });
  }

  #begin(type: StreamTypeName, bytes: number): OpenStream & { size: number } {
    this.#host.expectRoom(type, 1, bytes);
    const stream = this.#opened(type, this.#host.begin(type));
    // Behind the file, not before: a line without its file could come to mean another boot's.
    if (this.#boot !== undefined) this.#index.add(this.#boot, stream.name);
    return stream;
  }

  #opened(type: StreamTypeName, file: OpenStream): OpenStream & { size: number } {
    const stream = { ...file, size: fstatSync(file.fd).size };
    this.#open.set(type, stream);
    return stream;
  }
}
