import { closeSync, fsyncSync, lstatSync } from "node:fs";
import type { Crash, RecordEntry } from "../report/index.js";
import { systemFiles } from "../store/index.js";
import { LineFile } from "../store/line-file.js";
import { codeOf, UserError } from "./errors.js";

/** Far more names than there are records; of a longer file the end is read. */
const MAX_BYTES = 64 << 20;

/** Why a file isn't opened that somebody put in the place of ours: a link, a directory, a device. */
const NO_FILE = ["ELOOP", "EISDIR", "EEXIST", "ENXIO"];

/**
 * The crashes that `watch` told: their records' names, one a line. All of them, because a crash is called
 * as its first one, and that may be removed before the others.
 */
export class Told {
  readonly #file: LineFile;
  readonly #names: Set<string>;
  #isNew: boolean;

  /** Throws UserError where `path` is no file of its own, or the system call's error. */
  constructor(path: string) {
    this.#isNew = lstatSync(path, { throwIfNoEntry: false }) === undefined;
    this.#file = new LineFile({ files: systemFiles, retire: closeSync }, path);
    try {
      this.#names = new Set(this.#file.load(MAX_BYTES));
    } catch (error) {
      if (!NO_FILE.includes(codeOf(error) ?? "")) throw error;
      throw new UserError(
        `${path} is no regular file: say with --state which one keeps what was told`,
      );
    }
  }

  /** Nothing was kept yet: begin() does. */
  get isNew(): boolean {
    return this.#isNew;
  }

  /** How many names. */
  get size(): number {
    return this.#names.size;
  }

  has({ dump }: Crash): boolean {
    return dump.parts.some((part) => this.#names.has(lineOf(part)));
  }

  /** Makes the file, with crashes that count as told. */
  begin(crashes: readonly Crash[]): void {
    for (const { dump } of crashes) for (const part of dump.parts) this.#names.add(lineOf(part));
    this.#file.replace([...this.#names]);
    this.#isNew = false;
  }

  add({ dump }: Crash): void {
    for (const line of dump.parts.map(lineOf)) {
      this.#file.add(line);
      this.#names.add(line);
    }
    for (const fd of this.#file.takeDirty()) fsyncSync(fd);
  }

  /** Forgets all but these. */
  keep(records: readonly RecordEntry[]): void {
    const there = new Set(records.map(lineOf));
    for (const line of this.#names) if (!there.has(line)) this.#names.delete(line);
    this.#file.replace([...this.#names]);
  }

  close(): void {
    for (const fd of this.#file.end()) closeSync(fd);
  }
}

/** A name's UTF-8 as LineFile takes it. A directory's name may hold a line's end, and an owner compress a record. */
function lineOf({ guest, name }: RecordEntry): string {
  const own = name.replace(/\.gz$/, "");
  const line = JSON.stringify(guest === "" ? own : `${guest}/${own}`).slice(1, -1);
  return Buffer.from(line).toString("latin1");
}
