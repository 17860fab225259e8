import { createHash } from "node:crypto";
import {
  closeSync,
  constants,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { errno, errnoOf } from "../native/index.js";

const { O_APPEND, O_CREAT, O_NOFOLLOW, O_RDONLY, O_TRUNC, O_WRONLY } = constants;

/** What tells records apart: the id, and the bytes, as a guest may write other ones under the same id. */
export function recordKey(id: bigint, record: Uint8Array): string {
  const digest = createHash("sha256").update(record).digest("hex").slice(0, 32);
  return `${id.toString(16).padStart(16, "0")} ${digest}`;
}

/**
 * Which of an ERST file's records were copied: a file with a key on each line. A line counts when its
 * end is there. Records that have left the ERST file are left out when the list is opened.
 */
export class CopiedList {
  readonly #path: string;
  readonly #keys: Set<string>;

  /** `present` are the keys of the ERST file's records. Throws the system call's error. */
  constructor(path: string, present: ReadonlySet<string>) {
    this.#path = path;
    this.#keys = new Set(readLines(path).filter((key) => present.has(key)));
    // Written anew, so that it has no more lines than the ERST file has records.
    this.#write(`${path}.new`, O_TRUNC, [...this.#keys]);
    renameSync(`${path}.new`, path);
  }

  has(key: string): boolean {
    return this.#keys.has(key);
  }

  /** Durable on return. Throws the system call's error. */
  add(key: string): void {
    this.#write(this.#path, O_APPEND, [key]);
    this.#keys.add(key);
  }

  #write(path: string, flags: number, keys: readonly string[]): void {
    const fd = openSync(path, O_WRONLY | O_CREAT | O_NOFOLLOW | flags, 0o600);
    try {
      writeFileSync(fd, keys.map((key) => `${key}\n`).join(""));
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }
}

function readLines(path: string): string[] {
  let fd: number;
  try {
    fd = openSync(path, O_RDONLY | O_NOFOLLOW);
  } catch (error) {
    if (errnoOf(error) === errno.ENOENT) return [];
    throw error;
  }
  try {
    return readFileSync(fd, "latin1").split("\n").slice(0, -1);
  } finally {
    closeSync(fd);
  }
}
