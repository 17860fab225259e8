/**
 * The front-end's half of the vhost-user protocol, from QEMU's docs/interop/vhost-user.rst and on
 * purpose not from src/vhost-user: it is the second opinion that the conformance tests need.
 */
export const VU = {
  GET_FEATURES: 1,
  SET_FEATURES: 2,
  SET_OWNER: 3,
  RESET_OWNER: 4,
  SET_MEM_TABLE: 5,
  SET_LOG_BASE: 6,
  SET_VRING_NUM: 8,
  SET_VRING_ADDR: 9,
  SET_VRING_BASE: 10,
  GET_VRING_BASE: 11,
  SET_VRING_KICK: 12,
  SET_VRING_CALL: 13,
  SET_VRING_ERR: 14,
  GET_PROTOCOL_FEATURES: 15,
  SET_PROTOCOL_FEATURES: 16,
  GET_QUEUE_NUM: 17,
  SET_VRING_ENABLE: 18,
  SET_BACKEND_REQ_FD: 21,
  GET_CONFIG: 24,
  SET_CONFIG: 25,
  GET_INFLIGHT_FD: 31,
  SET_INFLIGHT_FD: 32,
  RESET_DEVICE: 34,
  GET_MAX_MEM_SLOTS: 36,
  ADD_MEM_REG: 37,
  REM_MEM_REG: 38,
  SET_STATUS: 39,
  GET_STATUS: 40,
} as const;

/** Header flags. */
export const VERSION = 1;
export const REPLY = 4;
export const NEED_REPLY = 8;
export const HEADER_BYTES = 12;

/** Feature bits. */
export const F_INDIRECT = 1n << 28n;
export const F_EVENT_IDX = 1n << 29n;
export const F_PROTOCOL_FEATURES = 1n << 30n;
export const F_VERSION_1 = 1n << 32n;

/** Protocol feature bits. */
export const P_MQ = 1n << 0n;
export const P_REPLY_ACK = 1n << 3n;
export const P_BACKEND_REQ = 1n << 5n;
export const P_CONFIG = 1n << 9n;
export const P_INFLIGHT_SHMFD = 1n << 12n;
export const P_RESET_DEVICE = 1n << 13n;
export const P_INBAND_NOTIFICATIONS = 1n << 14n;
export const P_CONFIGURE_MEM_SLOTS = 1n << 15n;
export const P_STATUS = 1n << 16n;

export const NO_FD = 0x100n;

const NOTHING = Buffer.alloc(0);

export function header(request: number, flags: number, size: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.writeUInt32LE(request, 0);
  bytes.writeUInt32LE(flags, 4);
  bytes.writeUInt32LE(size, 8);
  return bytes;
}

export function message(request: number, payload: Uint8Array = NOTHING, flags = 0): Buffer {
  return Buffer.concat([header(request, (VERSION | flags) >>> 0, payload.length), payload]);
}

export function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}

export function vringState(index: number, num: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(index, 0);
  bytes.writeUInt32LE(num, 4);
  return bytes;
}

/** GET_ and SET_INFLIGHT_FD's payload: mmap size and offset u64, queues and queue size u16, padding. */
export function inflight(queues: number, queueSize: number, size = 0n, offset = 0n): Buffer {
  const bytes = Buffer.alloc(24);
  bytes.writeBigUInt64LE(size, 0);
  bytes.writeBigUInt64LE(offset, 8);
  bytes.writeUInt16LE(queues, 16);
  bytes.writeUInt16LE(queueSize, 18);
  return bytes;
}

export interface RingAddresses {
  readonly descriptors: bigint;
  readonly used: bigint;
  readonly available: bigint;
}

export function vringAddress(index: number, addresses: RingAddresses): Buffer {
  const bytes = Buffer.alloc(40);
  bytes.writeUInt32LE(index, 0);
  bytes.writeBigUInt64LE(addresses.descriptors, 8);
  bytes.writeBigUInt64LE(addresses.used, 16);
  bytes.writeBigUInt64LE(addresses.available, 24);
  return bytes;
}

export interface Region {
  readonly guestAddress: bigint;
  readonly size: bigint;
  readonly userAddress: bigint;
  readonly fileOffset: bigint;
}

function region({ guestAddress, size, userAddress, fileOffset }: Region): Buffer {
  return Buffer.concat([u64(guestAddress), u64(size), u64(userAddress), u64(fileOffset)]);
}

/** SET_MEM_TABLE's payload; `slots` regions long where user-mode-linux's is longer than needed. */
export function memoryTable(regions: readonly Region[], slots = regions.length): Buffer {
  const bytes = Buffer.alloc(8 + 32 * slots);
  bytes.writeUInt32LE(regions.length, 0);
  regions.forEach((one, i) => {
    bytes.set(region(one), 8 + 32 * i);
  });
  return bytes;
}

/** ADD_MEM_REG's and REM_MEM_REG's payload. */
export function memoryRegion(one: Region): Buffer {
  return Buffer.concat([u64(0n), region(one)]);
}

export function config(
  offset: number,
  size: number,
  bytes: Uint8Array = Buffer.alloc(size),
): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt32LE(offset, 0);
  head.writeUInt32LE(size, 4);
  return Buffer.concat([head, bytes]);
}
