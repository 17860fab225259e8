import { errno, errnoOf } from "../os/index.js";
import type { Commit, CommitResult, Committer, StagedRecord } from "./commit.js";
import type { Files } from "./files.js";
import { DEFAULT_QUOTAS } from "./quota.js";
import { StoreDirectory } from "./store-directory.js";
import type { StoreOptions } from "./store-options.js";

/** What a process is told that may not use a directory, be it by the directory's mode or because it is confined. */
const MAY_NOT: readonly number[] = [errno.EACCES, errno.EPERM, errno.EROFS];

/** The directory of a store's name, and what is committed of it. Its owner may put another in its place. */
export class CurrentDirectory {
  readonly path: string;
  readonly #options: StoreOptions;
  readonly #files: Files;
  readonly #committer: Committer;
  #storeDirectory: StoreDirectory;
  #open = true;
  #ending = 0;

  /** Throws DirectoryInUseError, or the system call's error. */
  constructor(path: string, options: StoreOptions, files: Files, committer: Committer) {
    this.path = path;
    this.#options = options;
    this.#files = files;
    this.#committer = committer;
    this.#storeDirectory = this.#openDirectory(1n);
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Boots whose streams are still being synced. */
  get ending(): number {
    return this.#ending;
  }

  /** The directory that was used last. */
  get storeDirectory(): StoreDirectory {
    return this.#storeDirectory;
  }

  /** The directory of our name as it is now. Throws the system call's error. */
  here(): StoreDirectory {
    const former = this.#storeDirectory;
    if (former.directory.isInPlace()) return former;
    try {
      // Ids go on from where they were: what is under way has names of its own in either directory.
      this.#storeDirectory = this.#openDirectory(former.directory.next.id);
    } catch (error) {
      const number = errnoOf(error);
      if (MAY_NOT.includes(number)) this.#options.onForbidden?.(number);
      throw error;
    }
    const { boot, journal } = former.streams;
    this.#leave(former);
    this.#storeDirectory.streams.begin(boot, journal);
    this.#options.onMoved?.();
    return this.#storeDirectory;
  }

  #openDirectory(firstId: bigint): StoreDirectory {
    return new StoreDirectory({
      files: this.#files,
      path: this.path,
      firstId,
      quotas: this.#options.quotas ?? DEFAULT_QUOTAS,
      retire: (fd) => {
        this.#close([fd]);
      },
      isTurnOver: this.#options.isTurnOver ?? (() => false),
      later: (task) => {
        this.#options.after?.(0, () => {
          if (this.#open) task();
        });
      },
      onDropped: (dropped) => this.#options.onDropped?.(dropped),
    });
  }

  /** Ends the streams of the current boot, and syncs them. */
  endBoot(): void {
    const { directory, streams } = this.#storeDirectory;
    const { sync, close } = streams.end();
    if (sync.length + close.length === 0) return;
    this.#ending++;
    this.#committer.run({ records: [], appended: sync, directory: directory.fd }, (result) => {
      this.#ending--;
      for (const fd of close) this.#files.close(fd);
      this.tellSyncError(result);
    });
  }

  /** Syncs what is written, lets go of the directory and calls `done`. */
  close(done: () => void): void {
    if (!this.#open) {
      done();
      return;
    }
    this.#open = false;
    // Where this failed before: without the file an id could be given again.
    this.#storeDirectory.directory.next.tryPrepare();
    this.#leave(this.#storeDirectory, done);
  }

  tellSyncError({ rest }: CommitResult): void {
    if (rest !== 0) this.#options.onSyncError?.(rest);
  }

  /** Syncs and closes all that belongs to a directory, behind what is under way. */
  #leave({ directory, streams }: StoreDirectory, done: () => void = () => undefined): void {
    const { sync, close } = streams.end();
    const appended = [...sync, ...directory.takeDirty()];
    const fds = [...close, ...directory.end()];
    this.#committer.run({ records: [], appended, directory: directory.fd }, (result) => {
      for (const fd of fds) this.#files.close(fd);
      this.tellSyncError(result);
      done();
    });
  }

  /** Closes what a commit that is under way may still use. */
  #close(fds: readonly number[]): void {
    this.#committer.run({ records: [], appended: [], directory: undefined }, () => {
      for (const fd of fds) this.#files.close(fd);
    });
  }

  /** Commits all that has to be durable before what is staged may be acknowledged. */
  commit(records: readonly StagedRecord[], done: (result: CommitResult) => void): void {
    const { directory, streams } = this.#storeDirectory;
    const { sync, close } = streams.take();
    const batch: Commit = {
      records,
      appended: [...sync, ...directory.takeDirty()],
      directory: directory.namesChanged || records.length > 0 ? directory.fd : undefined,
    };
    directory.namesChanged = false;
    this.#committer.run(batch, (result) => {
      for (const fd of close) this.#files.close(fd);
      // Whatever it was that failed: the directory is synced again with the next commit.
      if (result.rest !== 0) directory.namesChanged = true;
      done(result);
    });
  }
}
