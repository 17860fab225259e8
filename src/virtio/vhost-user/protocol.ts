/**
 * The vhost-user protocol's numbers and layouts, with the specification's spelling
 * (QEMU's docs/interop/vhost-user.rst). All fields are little-endian here: the host's byte order on
 * every machine this runs on.
 */

/** request u32, flags u32, size u32 */
export const HEADER_BYTES = 12;

/** Larger than any payload that a back-end without GPU, log or Xen features is sent. */
export const MAX_PAYLOAD_BYTES = 4096;

export const FLAG_VERSION_MASK = 0x3;
export const FLAG_VERSION_1 = 0x1;
export const FLAG_REPLY = 0x4;
export const FLAG_NEED_REPLY = 0x8;

/** Messages from the front-end. */
export const FrontEndMessage = {
  GET_FEATURES: 1,
  SET_FEATURES: 2,
  SET_OWNER: 3,
  RESET_OWNER: 4,
  SET_MEM_TABLE: 5,
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
export type FrontEndMessage = (typeof FrontEndMessage)[keyof typeof FrontEndMessage];

const messageNames = new Map<number, string>(
  Object.entries(FrontEndMessage).map(([name, number]) => [number, name]),
);

/** A message's name for logs, or its number where this back-end doesn't know it. */
export function messageName(request: number): string {
  return messageNames.get(request) ?? `message ${request}`;
}

/** Messages to the front-end, on the channel that SET_BACKEND_REQ_FD passes. */
export const BackEndMessage = { CONFIG_CHANGE_MSG: 2 } as const;

/** Bits of GET/SET_PROTOCOL_FEATURES. */
export const ProtocolFeature = {
  MQ: 0,
  REPLY_ACK: 3,
  BACKEND_REQ: 5,
  CONFIG: 9,
  INFLIGHT_SHMFD: 12,
  RESET_DEVICE: 13,
  CONFIGURE_MEM_SLOTS: 15,
  STATUS: 16,
} as const;

/** Bits of GET/SET_FEATURES that belong to the transport, not to a device (virtio 6). */
export const Feature = {
  RING_INDIRECT_DESC: 28,
  RING_EVENT_IDX: 29,
  VHOST_USER_F_PROTOCOL_FEATURES: 30,
  VERSION_1: 32,
} as const;

/** A u64 with one bit set. */
export const bit = (number: number): bigint => 1n << BigInt(number);

/** In SET_VRING_KICK/CALL/ERR: the queue's index, and that no descriptor came along. */
export const VRING_INDEX_MASK = 0xffn;
export const VRING_NO_FD = 0x100n;

/** A message's request, flags and payload. */
export interface Message {
  readonly request: number;
  readonly flags: number;
  readonly payload: Buffer;
}

/** Encodes a message, in either direction. */
export function encodeMessage(request: number, flags: number, payload: Uint8Array): Buffer {
  const message = Buffer.alloc(HEADER_BYTES + payload.length);
  message.writeUInt32LE(request, 0);
  message.writeUInt32LE(flags, 4);
  message.writeUInt32LE(payload.length, 8);
  message.set(payload, HEADER_BYTES);
  return message;
}

/** Encodes a u64 payload. */
export function encodeU64(value: bigint): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeBigUInt64LE(value);
  return payload;
}

/** A vring state: index u32, num u32. */
export interface VringState {
  readonly index: number;
  readonly num: number;
}

/** A vring address description: index, flags u32; descriptor, used, available, log u64. */
export interface VringAddress {
  readonly index: number;
  readonly descriptor: bigint;
  readonly used: bigint;
  readonly available: bigint;
}

/** A memory region description: guest address, size, user address, mmap offset, u64 each. */
export interface RegionDescription {
  readonly guestAddress: bigint;
  readonly size: bigint;
  readonly userAddress: bigint;
  readonly mmapOffset: bigint;
}

/** A virtio device config space message's head: offset, size, flags u32; then `size` bytes. */
export interface ConfigAccess {
  readonly offset: number;
  readonly size: number;
  readonly flags: number;
  readonly bytes: Buffer;
}

/** Config space is at most this large. */
export const MAX_CONFIG_BYTES = 256;

const REGION_BYTES = 32;

/** Something the front-end sent that breaks the protocol. The connection goes on unless `fatal`. */
export class ProtocolError extends Error {
  readonly code: "BAD_HEADER" | "BAD_PAYLOAD" | "BAD_DESCRIPTORS" | "BAD_VALUE" | "UNSUPPORTED";
  readonly fatal: boolean;

  constructor(code: ProtocolError["code"], message: string, fatal = false) {
    super(message);
    this.name = "ProtocolError";
    this.code = code;
    this.fatal = fatal;
  }
}

function expectBytes({ request, payload }: Message, bytes: number): void {
  if (payload.length < bytes) {
    throw new ProtocolError(
      "BAD_PAYLOAD",
      `${messageName(request)} has ${payload.length} bytes of payload, not ${bytes}`,
    );
  }
}

export function decodeU64(message: Message): bigint {
  expectBytes(message, 8);
  return message.payload.readBigUInt64LE(0);
}

export function decodeVringState(message: Message): VringState {
  expectBytes(message, 8);
  return { index: message.payload.readUInt32LE(0), num: message.payload.readUInt32LE(4) };
}

export function decodeVringAddress(message: Message): VringAddress {
  expectBytes(message, 40);
  const { payload } = message;
  return {
    index: payload.readUInt32LE(0),
    descriptor: payload.readBigUInt64LE(8),
    used: payload.readBigUInt64LE(16),
    available: payload.readBigUInt64LE(24),
  };
}

function regionAt(payload: Buffer, at: number): RegionDescription {
  return {
    guestAddress: payload.readBigUInt64LE(at),
    size: payload.readBigUInt64LE(at + 8),
    userAddress: payload.readBigUInt64LE(at + 16),
    mmapOffset: payload.readBigUInt64LE(at + 24),
  };
}

/** SET_MEM_TABLE: count u32, padding u32, then that many regions (and perhaps unused ones). */
export function decodeMemoryTable(message: Message): RegionDescription[] {
  expectBytes(message, 8);
  const count = message.payload.readUInt32LE(0);
  if (count > MAX_PAYLOAD_BYTES / REGION_BYTES) {
    throw new ProtocolError("BAD_VALUE", `SET_MEM_TABLE names ${count} regions`);
  }
  expectBytes(message, 8 + count * REGION_BYTES);
  return Array.from({ length: count }, (_, i) => regionAt(message.payload, 8 + i * REGION_BYTES));
}

/** ADD_MEM_REG and REM_MEM_REG: padding u64, then one region. */
export function decodeMemoryRegion(message: Message): RegionDescription {
  expectBytes(message, 8 + REGION_BYTES);
  return regionAt(message.payload, 8);
}

/** An inflight description: mmap size and offset u64, number of queues and queue size u16. */
export interface InflightDescription {
  readonly size: bigint;
  readonly mmapOffset: bigint;
  readonly queues: number;
  readonly queueSize: number;
}

/** With padding to a multiple of 8, as front-ends send and expect it. */
const INFLIGHT_BYTES = 24;

export function decodeInflight(message: Message): InflightDescription {
  expectBytes(message, 20);
  const { payload } = message;
  return {
    size: payload.readBigUInt64LE(0),
    mmapOffset: payload.readBigUInt64LE(8),
    queues: payload.readUInt16LE(16),
    queueSize: payload.readUInt16LE(18),
  };
}

export function encodeInflight(description: InflightDescription): Buffer {
  const payload = Buffer.alloc(INFLIGHT_BYTES);
  payload.writeBigUInt64LE(description.size, 0);
  payload.writeBigUInt64LE(description.mmapOffset, 8);
  payload.writeUInt16LE(description.queues, 16);
  payload.writeUInt16LE(description.queueSize, 18);
  return payload;
}

export function decodeConfigAccess(message: Message): ConfigAccess {
  expectBytes(message, 12);
  const { payload } = message;
  const access = {
    offset: payload.readUInt32LE(0),
    size: payload.readUInt32LE(4),
    flags: payload.readUInt32LE(8),
    bytes: payload.subarray(12),
  };
  if (access.size > MAX_CONFIG_BYTES || access.offset > MAX_CONFIG_BYTES) {
    throw new ProtocolError(
      "BAD_VALUE",
      `${messageName(message.request)} reaches byte ${access.offset + access.size} of the config space`,
    );
  }
  return access;
}
