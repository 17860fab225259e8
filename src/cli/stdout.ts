import type { Writable } from "node:stream";
import { systemReason } from "../os/errno.js";
// The one module, not all of report: whatever starts loads this file.
import { printableLine } from "../records/printable.js";
import { codeOf, USAGE, UserError } from "../service/errors.js";

/** Why a write fails whose reader has gone away; the second is that of a write after that. */
const CLOSED = ["EPIPE", "ERR_STREAM_DESTROYED"];

/** For `--raw`: a guest's bytes aren't for a terminal, unless that is forced. */
export function expectNoTerminal({ raw, force }: { raw: boolean; force: boolean }): void {
  if (force && !raw) throw new UserError("--force is for --raw", USAGE);
  if (raw && process.stdout.isTTY && !force) {
    throw new UserError(
      "--raw could send control sequences to the terminal: use a pipe or a file, or --force",
    );
  }
}

/**
 * Writes, and waits until the reader took it, so that what is large is never held as a whole. False
 * where the reader has gone away (`| head`): nothing more is worth writing.
 */
export function writeTo(stream: Writable, text: string | Uint8Array): Promise<boolean> {
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => {
      if (error === null || error === undefined) resolve(true);
      else if (CLOSED.includes(codeOf(error) ?? "")) resolve(false);
      else
        reject(
          new UserError(`the output can't be written: ${systemReason(error) ?? error.message}`),
        );
    });
  });
}

/** The same to stdout. */
export const writeOut = (text: string | Uint8Array): Promise<boolean> =>
  writeTo(process.stdout, text);

/** A line to stdout in which names and paths are made printable. */
export const writeLine = (line: string): Promise<boolean> => writeOut(`${printableLine(line)}\n`);

/** A path to stdout: for scripts as it is, for a terminal printable. */
export const writePath = (path: string): Promise<boolean> =>
  process.stdout.isTTY ? writeLine(path) : writeOut(`${path}\n`);
