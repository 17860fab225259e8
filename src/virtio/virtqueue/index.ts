/// <reference types="node" preserve="true" />
export { type GuestAddress, guestAddress, type UserAddress, userAddress } from "./address.js";
export { ArgumentError } from "./arguments.js";
export {
  DESCRIPTOR_BYTES,
  type DescriptorChain,
  type MalformedChain,
  type Segment,
  Segments,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
} from "./descriptor-chain.js";
export { VirtqueueError, type VirtqueueErrorCode } from "./errors.js";
export { GuestMemory, type MemoryRegion, PAGE_BYTES } from "./guest-memory.js";
export { InflightRegion, inflightBytes } from "./inflight.js";
export { MAX_QUEUE_SIZE, Virtqueue, type VirtqueueLayout } from "./virtqueue.js";
