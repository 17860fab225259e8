import {
  closeSync,
  constants,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { crypto } from "../../os/builtins.js";
import { errno, errnoOf } from "../../os/index.js";

const { O_APPEND, O_CREAT, O_NOFOLLOW, O_RDONLY, O_TRUNC, O_WRONLY } = constants;

/** What tells records apart: the id, and the bytes, as a guest may write other ones under the same id. */
export const recordKey = (id: bigint, record: Uint8Array): string =>
  `${id.toString(16).padStart(16, "0")} ${digestOf(record)}`;

/** 32 hexadecimal digits of its SHA-256. */
export const digestOf = (bytes: Uint8Array): string =>
  crypto().createHash("sha256").update(bytes).digest("hex").slice(0, 32);

/** So many of records that have left the ERST file are worth making the list anew. */
const MAX_STALE = 1000;

/**
 * Which of an ERST file's records were copied: a file with a key on each line. A line counts when its
 * end is there.
 */
export class CopiedList {
  readonly #path: string;
  #keys: Set<string>;
  /** An add() failed: the file may end with a part of its line. */
  #torn = false;

  /** Throws the system call's error. */
  constructor(path: string) {
    this.#path = path;
    this.#keys = new Set(readLines(path));
    // Behind a line that was cut off none can be added.
    this.#replace();
  }

  has(key: string): boolean {
    return this.#keys.has(key);
  }

  /** Durable on return. Throws the system call's error; then it is not added. */
  add(key: string): void {
    if (this.#torn) this.#replace();
    this.#torn = true;
    this.#write(this.#path, O_APPEND, [key]);
    this.#torn = false;
    this.#keys.add(key);
  }

  /** Drops the keys of records that have left the ERST file, where there are many. */
  prune(present: readonly string[]): void {
    if (this.#keys.size <= present.length + MAX_STALE) return;
    this.#keys = new Set(present.filter((key) => this.#keys.has(key)));
    this.#replace();
  }

  #replace(): void {
    this.#write(`${this.#path}.new`, O_TRUNC, [...this.#keys]);
    renameSync(`${this.#path}.new`, this.#path);
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
