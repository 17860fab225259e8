import {
  CONFIG_BYTES,
  CONFIG_V2_BYTES,
  FILEINFO_BYTES,
  REQUEST_BYTES,
  RESPONSE_BYTES,
} from "../../src/device/wire.js";

/**
 * The 2016 v2 wire as a driver reads and writes it, encoded by hand from its description: a second
 * opinion on src/device. Little-endian.
 */

/** cmd u16, type u16, flags u32, id u64, count u32, reserved u32 */
export interface PstoreRequest {
  readonly cmd: number;
  readonly type?: number;
  readonly flags?: number;
  readonly id?: bigint;
  readonly count?: number;
}

export function encodeRequest(request: PstoreRequest): Buffer {
  const bytes = Buffer.alloc(REQUEST_BYTES);
  bytes.writeUInt16LE(request.cmd, 0);
  bytes.writeUInt16LE(request.type ?? 0, 2);
  bytes.writeUInt32LE(request.flags ?? 0, 4);
  bytes.writeBigUInt64LE(request.id ?? 0n, 8);
  bytes.writeUInt32LE(request.count ?? 0, 16);
  return bytes;
}

/** cmd u16, type u16, ret i32 */
export interface PstoreResponse {
  readonly cmd: number;
  readonly type: number;
  /** 0 or a negative errno. */
  readonly ret: number;
  /** What the device says it wrote, in bytes. */
  readonly usedLength: number;
}

export function decodeResponse(bytes: Buffer, usedLength: number): PstoreResponse {
  if (usedLength < RESPONSE_BYTES) throw new RangeError(`${usedLength} bytes are no response`);
  return {
    cmd: bytes.readUInt16LE(0),
    type: bytes.readUInt16LE(2),
    ret: bytes.readInt32LE(4),
    usedLength,
  };
}

/** id u64, count u32, type u16, unused u16, flags u32, len u32, time_sec u64, time_nsec u32, reserved u32 */
export interface PstoreFileInfo {
  readonly id: bigint;
  readonly count: number;
  readonly type: number;
  readonly flags: number;
  readonly len: number;
  readonly seconds: bigint;
  readonly nanoseconds: number;
}

export function decodeFileInfo(bytes: Buffer): PstoreFileInfo {
  if (bytes.length < FILEINFO_BYTES) throw new RangeError(`${bytes.length} bytes are no fileinfo`);
  return {
    id: bytes.readBigUInt64LE(0),
    count: bytes.readUInt32LE(8),
    type: bytes.readUInt16LE(12),
    flags: bytes.readUInt32LE(16),
    len: bytes.readUInt32LE(20),
    seconds: bytes.readBigUInt64LE(24),
    nanoseconds: bytes.readUInt32LE(32),
  };
}

/** bufsize u32, flags u32 */
export interface PstoreConfig {
  readonly bufsize: number;
  readonly flags: number;
}

export function decodeConfig(bytes: Buffer): PstoreConfig {
  if (bytes.length < CONFIG_V2_BYTES) throw new RangeError(`${bytes.length} bytes are no config`);
  return { bufsize: bytes.readUInt32LE(0), flags: bytes.readUInt32LE(4) };
}

/** bufsize u32, flags u32, types u32, max_data u32, boot_id u8[16], magic u64 */
export interface ExtendedConfig extends PstoreConfig {
  readonly types: number;
  readonly maxData: number;
  /** In hexadecimal. */
  readonly bootId: string;
  readonly magic: bigint;
}

export function decodeExtendedConfig(bytes: Buffer): ExtendedConfig {
  if (bytes.length < CONFIG_BYTES) throw new RangeError(`${bytes.length} bytes are no config`);
  return {
    ...decodeConfig(bytes),
    types: bytes.readUInt32LE(8),
    maxData: bytes.readUInt32LE(12),
    bootId: bytes.toString("hex", 16, 32),
    magic: bytes.readBigUInt64LE(32),
  };
}

/** `magic` of a device that has the fields before it. */
export const CONFIG_MAGIC = 0x9cc7cde5b6de5aa1n;

/** Feature bits 0 and 1. */
export const F_EXTENDED = 1n;
export const F_PANIC_VQ = 2n;
