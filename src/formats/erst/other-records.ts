import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { errno, renameNew } from "../../os/index.js";
import {
  type FreeSpace,
  type Quota,
  RefusedError,
  syncDirectory,
  systemFiles,
} from "../../store/index.js";
import { digestOf } from "./copied.js";
import { CPER_NAME } from "./cper.js";

const { O_CREAT, O_NOFOLLOW, O_RDONLY, O_TRUNC, O_WRONLY } = constants;

const TEMPORARY_NAME = ".cper";

/** A full quota is looked at anew so often: its owner may have removed files. */
const SCAN_MS = 1000;

/** Records of an ERST file that are no dump's parts: each whole, in a file of its own. */
export class OtherRecords {
  readonly #directory: string;
  readonly #quota: Quota;
  readonly #free: FreeSpace;
  #used: Quota | undefined;
  #scannedMs = 0;

  constructor(directory: string, quota: Quota, free: FreeSpace) {
    this.#directory = directory;
    this.#quota = quota;
    this.#free = free;
  }

  /**
   * Keeps a record, durably, and returns its path; undefined where a file has it already. No file is
   * replaced: where one of this id has other bytes, the name has 16 digits of their digest, too. Throws
   * RefusedError, and the system call's error; then nothing of the record stays.
   */
  store(id: bigint, bytes: Buffer): string | undefined {
    const usual = join(this.#directory, `cper-${id.toString(16).padStart(16, "0")}`);
    const own = `${usual}.${digestOf(bytes).slice(0, 16)}`;
    const path = lstatSync(usual, { throwIfNoEntry: false }) === undefined ? usual : own;
    if (path === own && (hasBytes(usual, bytes) || hasBytes(own, bytes))) {
      // The process that made it may have been killed before it synced the directory.
      syncDirectory(systemFiles, this.#directory);
      return undefined;
    }
    this.#expectRoom(bytes.length);
    this.#free.expect(this.#directory, bytes.length);
    this.#write(path, bytes);
    const { records, bytes: used } = this.#used ?? this.#scan();
    this.#used = { records: records + 1, bytes: used + bytes.length };
    return path;
  }

  #expectRoom(bytes: number): void {
    if (this.#fits(bytes)) return;
    if (performance.now() - this.#scannedMs > SCAN_MS) {
      this.#used = this.#scan();
      if (this.#fits(bytes)) return;
    }
    const why = `${this.#directory}: the quota for other records is used up`;
    throw new RefusedError("QUOTA", errno.ENOSPC, why);
  }

  #fits(bytes: number): boolean {
    this.#used ??= this.#scan();
    const { records, bytes: used } = this.#used;
    return records < this.#quota.records && used + bytes <= this.#quota.bytes;
  }

  #scan(): Quota {
    this.#scannedMs = performance.now();
    const sizes = readdirSync(this.#directory)
      .filter((name) => CPER_NAME.test(name))
      .map((name) => lstatSync(join(this.#directory, name), { throwIfNoEntry: false })?.size ?? 0);
    return { records: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
  }

  #write(path: string, bytes: Buffer): void {
    const temporary = join(this.#directory, TEMPORARY_NAME);
    const fd = openSync(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
    try {
      writeFileSync(fd, bytes);
      fsyncSync(fd);
      renameNew(temporary, path);
    } catch (error) {
      unlinkSync(temporary);
      throw error;
    } finally {
      closeSync(fd);
    }
    syncDirectory(systemFiles, this.#directory);
  }
}

/** Whether a file holds just these bytes; false where there is none. */
function hasBytes(path: string, bytes: Buffer): boolean {
  try {
    const fd = openSync(path, O_RDONLY | O_NOFOLLOW);
    try {
      return fstatSync(fd).size === bytes.length && readFileSync(fd).equals(bytes);
    } finally {
      closeSync(fd);
    }
  } catch {
    return false;
  }
}
