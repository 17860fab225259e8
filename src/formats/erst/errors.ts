/** What is wrong with an ERST file or a record in it. */
export type ErstErrorCode =
  /** The file isn't an ERST store. */
  | "NOT_ERST"
  /** It ends before what it should hold. */
  | "CUT"
  /** It has a version that isn't known. */
  | "VERSION"
  /** A field's value breaks a rule. */
  | "BAD_FIELD"
  /** Somebody has it open or mapped, and could write to it. */
  | "IN_USE"
  /** There is no record of that id. */
  | "NO_RECORD"
  /** It can't be made of this size with such records. */
  | "BAD_SIZE";

/** A rule that a file breaks. The message names the offset in bytes where a field is at fault. */
export class ErstError extends Error {
  readonly code: ErstErrorCode;
  /** Of the field at fault: from the file's begin, or from the record's where a record is at fault. */
  readonly offset: number | undefined;

  constructor(code: ErstErrorCode, message: string, offset?: number) {
    super(message);
    this.name = "ErstError";
    this.code = code;
    this.offset = offset;
  }
}

/** A field at `offset` breaks a rule. */
export function badField(offset: number, what: string): ErstError {
  return new ErstError("BAD_FIELD", `offset ${offset}: ${what}`, offset);
}
