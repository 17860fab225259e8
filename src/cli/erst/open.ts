import { ErstError, ErstFile, type ErstHeader } from "../../formats/erst/index.js";
import { UserError } from "../../service/errors.js";

/** Passes an ErstError on as one that names the file. */
export function erstError(path: string, error: unknown): unknown {
  return error instanceof ErstError ? new UserError(`${path}: ${error.message}`) : error;
}

/** Calls `use` with an open ERST file and its header, which is undefined where QEMU hasn't made it yet. */
export function withErst<T>(
  path: string,
  use: (file: ErstFile, header: ErstHeader | undefined) => T,
): T {
  const file = new ErstFile(path);
  try {
    return use(file, file.header());
  } catch (error) {
    throw erstError(path, error);
  } finally {
    file.close();
  }
}
