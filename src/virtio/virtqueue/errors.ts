/** What was wrong with something the driver put into shared memory. Stable: logs and counters use it. */
export type VirtqueueErrorCode =
  | "BAD_ADDRESS"
  | "BAD_REGION"
  | "CHAIN_TOO_LONG"
  | "CHAIN_TOO_LARGE"
  | "DESCRIPTOR_OUT_OF_RANGE"
  | "HEAD_OUT_OF_RANGE"
  | "INDEX_JUMPED"
  | "INDIRECT_LENGTH"
  | "INDIRECT_NESTED"
  | "INDIRECT_NOT_NEGOTIATED"
  | "INDIRECT_WITH_NEXT"
  | "MISALIGNED_RING"
  | "READABLE_AFTER_WRITABLE"
  | "RING_SIZE";

/** A rule of virtio that a driver or front-end broke. */
export class VirtqueueError extends Error {
  readonly code: VirtqueueErrorCode;

  constructor(code: VirtqueueErrorCode, message: string) {
    super(message);
    this.name = "VirtqueueError";
    this.code = code;
  }
}
