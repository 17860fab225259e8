export type UnavailableReason =
  | "not-debian"
  | "not-root"
  | "no-network"
  | "no-space"
  | "not-in-mirror"
  | "broken";

/**
 * Guests can't be had on this machine. Tests show the message when they skip, so it is one line that
 * names what is missing and ends with what to do about it.
 */
export class VmUnavailable extends Error {
  override readonly name = "VmUnavailable";
  readonly reason: UnavailableReason;

  constructor(reason: UnavailableReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
