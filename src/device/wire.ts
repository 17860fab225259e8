/**
 * The virtio-pstore wire, version 2. guest/include/uapi/linux/virtio_pstore.h is its one definition; a
 * test compares these sizes and offsets with the C compiler's. Everything is little-endian.
 */

/** The device ID of "pstore" (virtio 5, table of device IDs). */
export const VIRTIO_ID_PSTORE = 22;

/**
 * queue 0: the driver waits for the answer; queue 1: several requests in flight; queue 2, with
 * F_PANIC_VQ: only a dying guest uses it.
 */
export { QUEUE_COUNT } from "../store/journal/index.js";

/** Feature bits: the configuration space goes on behind `flags`; there is a queue 2. */
export const F_EXTENDED = 1n << 0n;
export const F_PANIC_VQ = 1n << 1n;

/** virtio_pstore_req.cmd */
export const Command = { NULL: 0, OPEN: 1, READ: 2, WRITE: 3, ERASE: 4, CLOSE: 5 } as const;

/** virtio_pstore_req.type */
export const RecordType = { UNKNOWN: 0, DMESG: 1, CONSOLE: 2, FTRACE: 3, PMSG: 4 } as const;

/** virtio_pstore_req.flags, virtio_pstore_fileinfo.flags */
export const FLAG_COMPRESSED = 1 << 0;

/** virtio_pstore_config.flags */
export const CONFIG_FLAG_CONSOLE = 1 << 0;

/** struct virtio_pstore_req: offsets in bytes. */
export const REQUEST = { cmd: 0, type: 2, flags: 4, id: 8, count: 16, reserved: 20 } as const;
export const REQUEST_BYTES = 24;

/** struct virtio_pstore_res */
export const RESPONSE = { cmd: 0, type: 2, ret: 4 } as const;
export const RESPONSE_BYTES = 8;

/** struct virtio_pstore_fileinfo */
export const FILEINFO = {
  id: 0,
  count: 8,
  type: 12,
  unused: 14,
  flags: 16,
  len: 20,
  time_sec: 24,
  time_nsec: 32,
  reserved: 36,
} as const;
export const FILEINFO_BYTES = 40;

/** struct virtio_pstore_config; a version 2 driver reads the first CONFIG_V2_BYTES. */
export const CONFIG = {
  bufsize: 0,
  flags: 4,
  types: 8,
  max_data: 12,
  boot_id: 16,
  magic: 32,
} as const;
export const CONFIG_BYTES = 40;
export const CONFIG_V2_BYTES = 8;
/** What a driver needs to which the VMM passes the feature bits. */
export const CONFIG_EXTENDED_BYTES = CONFIG.magic;
export const BOOT_ID_BYTES = 16;
/** virtio_pstore_config.magic: there are the fields before it, and a queue 2, whatever the VMM does to feature bits. */
export const CONFIG_MAGIC = 0x9cc7cde5b6de5aa1n;

/** The fields of a request that mean something to a version 2 device. */
export interface RequestHeader {
  readonly cmd: number;
  readonly type: number;
  readonly flags: number;
  readonly id: bigint;
}

/** Reads a request's first REQUEST_BYTES. */
export function decodeRequest(bytes: Buffer): RequestHeader {
  return {
    cmd: bytes.readUInt16LE(REQUEST.cmd),
    type: bytes.readUInt16LE(REQUEST.type),
    flags: bytes.readUInt32LE(REQUEST.flags),
    id: bytes.readBigUInt64LE(REQUEST.id),
  };
}

/** A response; `ret` is 0 or a negative errno. */
export function encodeResponse(cmd: number, type: number, ret: number): Buffer {
  const bytes = Buffer.alloc(RESPONSE_BYTES);
  bytes.writeUInt16LE(cmd, RESPONSE.cmd);
  bytes.writeUInt16LE(type, RESPONSE.type);
  bytes.writeInt32LE(ret, RESPONSE.ret);
  return bytes;
}

/** What READ tells of a record. `timeNs`: nanoseconds since 1970-01-01 UTC. */
export interface FileInfo {
  readonly id: bigint;
  readonly type: number;
  readonly flags: number;
  /** Bytes of data that follow. */
  readonly len: number;
  readonly timeNs: bigint;
}

const NS_PER_SECOND = 1_000_000_000n;

export function encodeFileInfo(info: FileInfo): Buffer {
  const bytes = Buffer.alloc(FILEINFO_BYTES);
  bytes.writeBigUInt64LE(info.id, FILEINFO.id);
  bytes.writeUInt16LE(info.type, FILEINFO.type);
  bytes.writeUInt32LE(info.flags, FILEINFO.flags);
  bytes.writeUInt32LE(info.len, FILEINFO.len);
  bytes.writeBigUInt64LE(info.timeNs / NS_PER_SECOND, FILEINFO.time_sec);
  bytes.writeUInt32LE(Number(info.timeNs % NS_PER_SECOND), FILEINFO.time_nsec);
  return bytes;
}
