import { errnoOf } from "../os/index.js";
import { DirectoryInUseError } from "./open-directory.js";
import { adviceOn } from "./trouble.js";

/** Why a directory can't be used as a store; the message says what to do. */
export class StoreError extends Error {
  readonly code: "DIRECTORY_UNUSABLE" | "DIRECTORY_IN_USE";

  constructor(code: StoreError["code"], message: string) {
    super(message);
    this.name = "StoreError";
    this.code = code;
  }
}

/** Of what opening a directory threw. */
export function storeError(directory: string, error: unknown): StoreError {
  if (error instanceof DirectoryInUseError) {
    const message = `${directory} is used by another virtio-pstore process: end it, or name another directory`;
    return new StoreError("DIRECTORY_IN_USE", message);
  }
  const reason = error instanceof Error && "code" in error ? String(error.code) : String(error);
  const advice = adviceOn(errnoOf(error)) ?? "it must be a directory this user may write to";
  const message = `${directory} can't be used for records (${reason}): ${advice}`;
  return new StoreError("DIRECTORY_UNUSABLE", message);
}
