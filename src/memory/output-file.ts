import { closeSync, fsyncSync, ftruncateSync, openSync, unlinkSync, writeSync } from "node:fs";
import { setImmediate as afterSignals } from "node:timers/promises";
import { beginWriteBack, renameNew } from "../os/index.js";

/** So much is written before a signal is looked for, and before the disk is told to begin with it. */
const BYTES_AT_ONCE = 8 << 20;

export interface WriteOptions {
  /** Ends the writing: nothing of the file stays. */
  readonly stop?: AbortSignal;
  /** Told now and then how many bytes of memory were looked at. */
  readonly progress?: (doneBytes: number, totalBytes: number) => void;
}

/** A file that is written out of order. */
export class OutputFile {
  readonly #fd: number;
  readonly #stop: AbortSignal | undefined;
  #since = 0;

  constructor(fd: number, stop: AbortSignal | undefined) {
    this.#fd = fd;
    this.#stop = stop;
  }

  /** Its length; what isn't written of it is a hole. */
  setLength(bytes: number): void {
    ftruncateSync(this.#fd, bytes);
  }

  write(at: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      done += writeSync(this.#fd, bytes, done, bytes.length - done, at + done);
    }
    this.#since += bytes.length;
  }

  /** To be called between two pieces of work: lets signals come in, and throws what stops it. */
  async pause(): Promise<void> {
    if (this.#since < BYTES_AT_ONCE) return;
    this.#since = 0;
    beginWriteBack(this.#fd);
    await afterSignals();
    this.#stop?.throwIfAborted();
  }
}

/**
 * Makes the file `path`, which must not be there yet: under another name until it is whole and on the disk, so that
 * nobody takes a part for all of it.
 */
export async function writeNew(
  path: string,
  write: (file: OutputFile) => Promise<void>,
  stop?: AbortSignal,
): Promise<void> {
  const partial = `${path}.part-${process.pid}`;
  const fd = openSync(partial, "wx", 0o600);
  try {
    try {
      await write(new OutputFile(fd, stop));
      stop?.throwIfAborted();
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameNew(partial, path);
  } catch (error) {
    unlinkSync(partial);
    throw error;
  }
}
