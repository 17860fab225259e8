import { errnoOf } from "../native/index.js";
import { type Files, systemFiles } from "./files.js";

/** A record whose data is in its temporary file, waiting to be made durable and visible. */
export interface StagedRecord {
  /** Open for writing; the commit closes it. */
  readonly fd: number;
  readonly temporaryPath: string;
  readonly path: string;
}

/** What must be durable before the requests that caused it are answered. */
export interface Commit {
  readonly records: readonly StagedRecord[];
  /** Files that were appended to. */
  readonly appended: readonly number[];
  /** The directory, where names in it changed. */
  readonly directory: number | undefined;
}

/** The errno of each record, 0 where it is durable; and of everything else. */
export interface CommitResult {
  readonly records: readonly number[];
  readonly rest: number;
}

function attempt(action: () => void): number {
  try {
    action();
    return 0;
  } catch (error) {
    return errnoOf(error);
  }
}

/**
 * Makes a batch durable, in this order: files, names, directory. A record is visible only when its data
 * is on disk, and acknowledged only when its name is too. Blocks for as long as the disk takes.
 */
export function commit(batch: Commit, files: Files = systemFiles): CommitResult {
  let rest = 0;
  for (const fd of batch.appended) {
    const error = attempt(() => files.datasync(fd));
    rest ||= error;
  }
  const records = batch.records.map(({ fd, temporaryPath, path }) => {
    const error = attempt(() => {
      files.sync(fd);
      files.renameNew(temporaryPath, path);
    });
    // What close(2) could still tell, fsync(2) told.
    attempt(() => files.close(fd));
    return error;
  });
  const { directory } = batch;
  if (directory !== undefined) {
    const error = attempt(() => files.sync(directory));
    if (error !== 0) return { records: records.map((own) => own || error), rest: rest || error };
  }
  return { records, rest };
}

/** Runs commits in order, here or on another thread, and tells when each is durable. */
export interface Committer {
  run(batch: Commit, done: (result: CommitResult) => void): void;
}

/** Commits on the calling thread: the fastest way while there is nobody else whom a slow disk stalls. */
export class InlineCommitter implements Committer {
  readonly #files: Files;

  constructor(files: Files = systemFiles) {
    this.#files = files;
  }

  run(batch: Commit, done: (result: CommitResult) => void): void {
    done(commit(batch, this.#files));
  }
}
