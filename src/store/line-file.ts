import { constants } from "node:fs";
import { errno, errnoOf, SystemError } from "../os/index.js";
import { type Files, systemFiles, tryUnlink } from "./files.js";
import { GrowingFile } from "./growing-file.js";

const { O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDWR, O_TRUNC } = constants;

/** What a file of lines is kept with. */
export interface LineFileHost {
  readonly files: Files;
  /** Closes a descriptor once no commit that is under way uses it. */
  retire(fd: number): void;
}

/** Of a file that no other thread syncs. */
export const OWN_FILE: LineFileHost = { files: systemFiles, retire: systemFiles.close };

/**
 * A file of notes, one a line, oldest first, that is made when there is something to note. A line counts
 * when its end is there; one that a crash cut off is taken away before the next.
 */
export class LineFile {
  readonly #host: LineFileHost;
  readonly #path: string;
  #file: GrowingFile | undefined;
  #dirty = false;

  constructor(host: LineFileHost, path: string) {
    this.#host = host;
    this.#path = path;
  }

  /** The lines there are: of a file with more than `most` bytes the last ones. */
  load(most: number): string[] {
    const { files } = this.#host;
    let fd: number;
    try {
      fd = files.open(this.#path, O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK);
    } catch (error) {
      if (errnoOf(error) === errno.ENOENT) return [];
      throw error;
    }
    try {
      const found = files.fstat(fd);
      if (!found.isFile()) throw new SystemError("open", errno.EEXIST, this.#path);
      const bytes = Buffer.alloc(Math.min(found.size, most));
      const count = files.read(fd, bytes, found.size - bytes.length);
      const text = bytes.toString("latin1", 0, count);
      const whole = text.lastIndexOf("\n") + 1;
      if (whole < text.length) files.truncate(fd, found.size - (text.length - whole));
      this.#file = new GrowingFile(files, fd);
      // The process that wrote it may have died before it synced it.
      this.#dirty = true;
      return text.slice(0, whole).split("\n").slice(0, -1);
    } catch (error) {
      files.close(fd);
      throw error;
    }
  }

  /** Throws the system call's error; then there is no such line. */
  append(line: string): void {
    this.#file ??= this.#open(this.#path, 0);
    this.#file.append([Buffer.from(`${line}\n`, "latin1")]);
    this.#dirty = true;
  }

  /** Lets go of a file that its owner removed: the next line makes another. Says whether there is none now. */
  leaveRemoved(): boolean {
    if (this.#file === undefined) return true;
    if (this.#host.files.fstat(this.#file.fd).nlink > 0) return false;
    this.#host.retire(this.#file.fd);
    this.#file = undefined;
    this.#dirty = false;
    return true;
  }

  /**
   * Puts `lines` in the place of all there are. A crash leaves the one or the other file; one of the host may
   * leave an empty one where the new file is synced `later`, as takeDirty() has it. Throws the system call's
   * error; then nothing has changed.
   */
  replace(lines: readonly string[], synced: "now" | "later" = "now"): void {
    const { files } = this.#host;
    const temporary = `${this.#path}.new`;
    const file = this.#open(temporary, O_TRUNC);
    try {
      file.append([Buffer.from(lines.map((line) => `${line}\n`).join(""), "latin1")]);
      if (synced === "now") files.sync(file.fd);
      files.rename(temporary, this.#path);
    } catch (error) {
      files.close(file.fd);
      tryUnlink(files, temporary);
      throw error;
    }
    if (this.#file !== undefined) this.#host.retire(this.#file.fd);
    this.#file = file;
    this.#dirty ||= synced === "later";
  }

  /** The descriptor where it has to be synced; from now on it counts as such. */
  takeDirty(): number[] {
    const fds = this.#dirty && this.#file !== undefined ? [this.#file.fd] : [];
    this.#dirty = false;
    return fds;
  }

  /** Has it on disk on return. Throws the system call's error. */
  sync(): void {
    for (const fd of this.takeDirty()) this.#host.files.sync(fd);
  }

  /** The descriptor, for the caller to close. */
  end(): number[] {
    const fds = this.#file === undefined ? [] : [this.#file.fd];
    this.#file = undefined;
    return fds;
  }

  #open(path: string, flags: number): GrowingFile {
    const { files } = this.#host;
    const all = O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | flags;
    return new GrowingFile(files, files.open(path, all, 0o600));
  }
}
