/** Why a guest's memory, or something in it, can't be read. */
export type MemoryErrorCode =
  /** What was named is no guest's memory, nor a core of one. */
  | "NOT_MEMORY"
  /** It is one, of a kind or with a layout that isn't known. */
  | "UNSUPPORTED"
  /** A structure breaks a rule. */
  | "DAMAGED"
  /** The caller may not read it. */
  | "NO_RIGHT"
  /** The VMM, or the file, went away meanwhile. */
  | "ENDED"
  /** There is no Linux in it, or not yet. */
  | "NO_KERNEL"
  /** The guest's memory is encrypted, and the host hasn't the key. */
  | "ENCRYPTED"
  /** The guest's page tables lead nowhere from there. */
  | "NOT_MAPPED"
  /** The kernel doesn't describe what is asked for. */
  | "NOT_DESCRIBED"
  /** Reading it took more work than a call may do. */
  | "TOO_MUCH";

/** What can't be read, and why: one line that says what, where, and what to do. */
export class MemoryError extends Error {
  readonly code: MemoryErrorCode;

  constructor(code: MemoryErrorCode, message: string) {
    super(message);
    this.name = "MemoryError";
    this.code = code;
  }
}

/**
 * What `read` returns; undefined where it can't be read. A MemoryError with one of the codes `fatal` is thrown on: it
 * ends more than this read.
 */
export function tryToRead<T>(read: () => T, fatal: readonly MemoryErrorCode[] = []): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof MemoryError) || fatal.includes(error.code)) throw error;
    return undefined;
  }
}
