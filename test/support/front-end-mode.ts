/** How the fake front-ends of a test file speak, and what they speak to. */
export interface FrontEndMode {
  /**
   * acknowledged: each message waits for its REPLY_ACK. unacknowledged: REPLY_ACK isn't negotiated. queued:
   * nor is it, and a negotiation is sent as a whole, from the first message to the rings' start, before the back-end reads any of it.
   * bytewise: each byte is sent for itself, descriptors with the first, and the back-end reads in between.
   */
  readonly speech: "acknowledged" | "unacknowledged" | "queued" | "bytewise";
  /** The back-end's connections outlive its process. */
  readonly kept: boolean;
}

let current: FrontEndMode = { speech: "acknowledged", kept: false };

export const frontEndMode = (): FrontEndMode => current;

/** For a test file that runs others' tests: before it imports them. */
export function setFrontEndMode(mode: FrontEndMode): void {
  current = mode;
}
