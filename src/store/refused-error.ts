import { SystemError } from "../os/index.js";

/** Why data wasn't taken, though the disk would have had it. */
export type Refusal = "QUOTA" | "RATE" | "FREE_SPACE";

/** The store keeps to a bound. `errno` is what the guest is told. */
export class RefusedError extends SystemError {
  readonly refusal: Refusal;
  /** Which bound it is. */
  readonly detail: string;

  constructor(refusal: Refusal, number: number, detail: string) {
    super("write", number, detail);
    this.detail = detail;
    this.name = "RefusedError";
    this.refusal = refusal;
  }
}
