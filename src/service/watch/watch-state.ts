import { closeSync, constants, lstatSync, openSync } from "node:fs";
import type { Crash, GuestEnded } from "../../analysis/index.js";
import { systemReason } from "../../os/errno.js";
import { tryLock } from "../../os/index.js";
import type { RecordEntry } from "../../records/index.js";
import { LineFile, OWN_FILE } from "../../store/index.js";
import { codeOf, UserError } from "../errors.js";
import { fullName } from "../names.js";

/** Far more names than there are records; of a longer file the end is read. */
const MAX_BYTES = 64 << 20;

/** Why a file isn't opened that somebody put in the place of ours: a link, a directory, a device. */
const NO_FILE = ["ELOOP", "EISDIR", "EEXIST", "ENXIO"];

/** As in a directory that may only be read, or isn't there. */
const NO_RIGHT = ["EACCES", "EPERM", "EROFS", "ENOENT", "ENOTDIR"];

const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants;

/** What is told: a crash, or that a guest ended without one. */
export type Tellable = Crash | GuestEnded;

/**
 * The crashes that `watch` told: their records' names and times, one a line. All of them, because a crash is
 * called as its first one, and that may be removed before the others; with the time, because a guest whose
 * directory is made anew has the same names again. It belongs to one process at a time.
 */
export class WatchState extends LineFile {
  readonly #lock: number;
  readonly #lines: Set<string>;
  #isNew: boolean;

  /** Throws UserError where `path` is no file of its own or another process has it, or the system call's error. */
  constructor(path: string) {
    super(OWN_FILE, path);
    if (lstatSync(path, { throwIfNoEntry: false })?.isFile() === false) throw noFile(path);
    this.#lock = ours(path, () => locked(path));
    this.#isNew = lstatSync(path, { throwIfNoEntry: false }) === undefined;
    this.#lines = new Set(ours(path, () => this.load(MAX_BYTES)));
  }

  /** Nothing was kept yet: begin() does. */
  get isNew(): boolean {
    return this.#isNew;
  }

  /** How many records' lines. */
  get size(): number {
    return this.#lines.size;
  }

  /** Whether all that is there of a crash was told: one can grow. */
  has(one: Tellable): boolean {
    return linesOf(one).every((line) => this.#lines.has(line));
  }

  /** Makes the file, with what counts as told. */
  begin(all: readonly Tellable[]): void {
    for (const line of all.flatMap(linesOf)) this.#lines.add(line);
    this.replace([...this.#lines]);
    this.#isNew = false;
  }

  add(one: Tellable): void {
    for (const line of linesOf(one)) {
      this.append(line);
      this.#lines.add(line);
    }
    this.sync();
  }

  /** Forgets all but these. */
  keep(records: readonly RecordEntry[], ends: readonly GuestEnded[]): void {
    const there = new Set([...records.map(lineOf), ...ends.flatMap(linesOf)]);
    for (const line of this.#lines) if (!there.has(line)) this.#lines.delete(line);
    this.replace([...this.#lines]);
  }

  close(): void {
    for (const fd of this.end()) closeSync(fd);
    closeSync(this.#lock);
  }
}

/** The descriptor of a file beside `path`, which is replaced itself. */
function locked(path: string): number {
  const fd = openSync(`${path}.lock`, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
  if (tryLock(fd)) return fd;
  closeSync(fd);
  throw new UserError(
    `another watch keeps what it told in ${path}: end it, or say another file with --state`,
  );
}

function ours<T>(path: string, open: () => T): T {
  try {
    return open();
  } catch (error) {
    if (NO_RIGHT.includes(codeOf(error) ?? "")) {
      const line = `${path} can't be written (${systemReason(error)})`;
      throw new UserError(`${line}: say with --state where to keep what was told`);
    }
    if (!NO_FILE.includes(codeOf(error) ?? "")) throw error;
    throw noFile(path);
  }
}

const noFile = (path: string): UserError =>
  new UserError(`${path} is no regular file: say with --state which one keeps what was told`);

/**
 * UTF-8 as LineFile takes it. A directory's name may hold a line's end, and an owner compress a record, which
 * keeps its time.
 */
function lineOf({ guest, name, time }: Pick<RecordEntry, "guest" | "name" | "time">): string {
  const own = fullName({ guest, name: name.replace(/\.gz$/, "") });
  const text = JSON.stringify(own).slice(1, -1);
  return Buffer.from(`${text} ${time.getTime()}`).toString("latin1");
}

/** No record has such a name. */
const END = "end";

const linesOf = (one: Tellable): string[] =>
  "dump" in one
    ? one.dump.parts.map(lineOf)
    : [lineOf({ guest: one.folder, name: END, time: one.time })];
