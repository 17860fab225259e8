import { errnoOf } from "../os/index.js";
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

/**
 * The errno of each record, 0 where it is durable; and of everything else. Fewer records than the batch has: it isn't
 * done, and none of them is durable yet.
 */
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

/** How a commit is done. */
export interface CommitOptions {
  /** The system's where not given. */
  readonly files?: Files;
  /** What was done of the batch before. */
  readonly after?: CommitResult | undefined;
  /** Asked behind each record whether the others are to wait. */
  readonly isTurnOver?: () => boolean;
}

/**
 * Makes a batch durable, in this order: files, names, directory. A record is visible only when its data
 * is on disk, and acknowledged only when its name is too. Blocks for as long as the disk takes.
 */
export function commit(batch: Commit, options: CommitOptions = {}): CommitResult {
  const { files = systemFiles, after, isTurnOver = () => false } = options;
  let rest = after?.rest ?? 0;
  const records = [...(after?.records ?? [])];
  for (const fd of after === undefined ? batch.appended : []) {
    const error = attempt(() => files.datasync(fd));
    rest ||= error;
  }
  for (const { fd, temporaryPath, path } of batch.records.slice(records.length)) {
    const error = attempt(() => {
      files.sync(fd);
      files.renameNew(temporaryPath, path);
    });
    // What close(2) could still tell, fsync(2) told.
    attempt(() => files.close(fd));
    records.push(error);
    if (records.length < batch.records.length && isTurnOver()) return { records, rest };
  }
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
    done(commit(batch, { files: this.#files }));
  }
}
