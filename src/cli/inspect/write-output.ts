import { systemReason } from "../../os/errno.js";
import { codeOf, UserError } from "../../service/errors.js";
import { endBySignal, onSignals } from "../../service/signals.js";

export interface WriteOutputOptions {
  /** Something has to be put right before the process ends: a second signal doesn't end it at once. */
  readonly mustFinish?: boolean;
}

/**
 * Writes the file of `-o`. SIGINT and SIGTERM set off `stop`, which `write` hands to `writeNew`: nothing of the file
 * stays. Returns what `write` does. Throws UserError, in one line, where it was stopped or a system call fails, which
 * is taken for one on the file; and what else `write` throws.
 */
export async function writeOutput<T>(
  path: string,
  write: (stop: AbortSignal) => Promise<T>,
  { mustFinish = false }: WriteOutputOptions = {},
): Promise<T> {
  const stop = new AbortController();
  const forget = onSignals(["SIGINT", "SIGTERM"], (name) => {
    if (stop.signal.aborted && !mustFinish) endBySignal(name);
    stop.abort(new UserError(`stopped: ${path} was not written`));
  });
  try {
    return await write(stop.signal);
  } catch (error) {
    throw asUserError(error, path);
  } finally {
    forget();
  }
}

function asUserError(error: unknown, path: string): unknown {
  const reason = systemReason(error);
  if (reason === undefined) return error;
  if (codeOf(error) === "EEXIST") return new UserError(`${path} is there already: name a new file`);
  return new UserError(`${path} can't be written: ${reason}`);
}
