import { errno } from "../os/index.js";
import {
  type DumpTypeName,
  isStream,
  type RecordTypeName,
  type StreamTypeName,
} from "../records/index.js";
import type { DescriptorChain, Segments } from "../virtio/virtqueue/index.js";
import {
  Command,
  decodeRequest,
  FILEINFO_BYTES,
  FLAG_COMPRESSED,
  REQUEST_BYTES,
  RESPONSE_BYTES,
  RecordType,
} from "./wire.js";

/** The store's names for the types on the wire. */
const STORED: Readonly<Record<number, RecordTypeName>> = {
  [RecordType.DMESG]: "dmesg",
  [RecordType.CONSOLE]: "console",
  [RecordType.FTRACE]: "ftrace",
  [RecordType.PMSG]: "pmsg",
};

/** The number on the wire of each type of the store. */
export const WIRE_TYPE: Readonly<Record<RecordTypeName, number>> = {
  dmesg: RecordType.DMESG,
  console: RecordType.CONSOLE,
  ftrace: RecordType.FTRACE,
  pmsg: RecordType.PMSG,
};

/** The types of records that a driver of version 2 knows. */
export const V2_TYPES: readonly RecordTypeName[] = ["dmesg", "console"];

/** What the device was asked to do, checked: nothing of it is read from guest memory again but data. */
export type Request =
  | { readonly kind: "open" }
  | { readonly kind: "close" }
  | { readonly kind: "read" /** Bytes of room for the record's data. */; readonly room: number }
  | {
      readonly kind: "dump";
      readonly type: DumpTypeName;
      readonly compressed: boolean;
      /** The record's data: the bytes of `from` behind the request. */
      readonly from: Segments;
    }
  | {
      readonly kind: "stream";
      readonly type: StreamTypeName;
      /** Likewise. */
      readonly from: Segments;
    }
  | { readonly kind: "erase"; readonly type: RecordTypeName; readonly id: bigint }
  | { readonly kind: "refused"; readonly errno: number; readonly why: string };

/** A request with what its response echoes. */
export interface ParsedRequest {
  readonly cmd: number;
  readonly type: number;
  readonly request: Request;
}

/** What the device takes from the driver that it has. */
export interface RequestLimits {
  readonly types: readonly RecordTypeName[];
  /** The most data one WRITE may carry, in bytes: bounds what a guest can store with one request. */
  readonly maxDataBytes: number;
}

const refused = (number: number, why: string): Request => ({ kind: "refused", errno: number, why });

/** The type of the store for a type on the wire; undefined where the device doesn't take it. */
function storedType(type: number, { types }: RequestLimits): RecordTypeName | undefined {
  const stored = STORED[type];
  return stored !== undefined && types.includes(stored) ? stored : undefined;
}

/**
 * Reads a chain's request, once. Undefined where the chain has no room for a response: such a chain is
 * completed with used length 0, and nothing is done.
 */
export function parseRequest(
  { readable, writable }: DescriptorChain,
  limits: RequestLimits,
): ParsedRequest | undefined {
  if (writable.length < RESPONSE_BYTES) return undefined;
  if (readable.length < REQUEST_BYTES) {
    const why = `a request of ${readable.length} bytes, not ${REQUEST_BYTES}`;
    return { cmd: Command.NULL, type: RecordType.UNKNOWN, request: refused(errno.EINVAL, why) };
  }
  const header = decodeRequest(readable.copy(0, REQUEST_BYTES));
  const { cmd, type, flags, id } = header;
  const answer = (request: Request): ParsedRequest => ({ cmd, type, request });

  switch (cmd) {
    case Command.OPEN:
      return answer({ kind: "open" });
    case Command.CLOSE:
      return answer({ kind: "close" });
    case Command.READ: {
      const room = writable.length - RESPONSE_BYTES - FILEINFO_BYTES;
      if (room < 0) return answer(refused(errno.EINVAL, "READ has no room for a fileinfo"));
      return answer({ kind: "read", room });
    }
    case Command.WRITE: {
      const stored = storedType(type, limits);
      if (stored === undefined) {
        return answer(refused(errno.EINVAL, `WRITE of type ${type}, which isn't taken`));
      }
      const allowed = stored === "dmesg" ? FLAG_COMPRESSED : 0;
      if ((flags & ~allowed) !== 0) {
        return answer(refused(errno.EINVAL, `WRITE with flags 0x${flags.toString(16)}`));
      }
      const bytes = readable.length - REQUEST_BYTES;
      if (bytes === 0) return answer(refused(errno.EINVAL, "WRITE without data"));
      if (bytes > limits.maxDataBytes) {
        const why = `WRITE of ${bytes} bytes; at most ${limits.maxDataBytes} are taken`;
        return answer(refused(errno.EMSGSIZE, why));
      }
      if (isStream(stored)) return answer({ kind: "stream", type: stored, from: readable });
      const compressed = (flags & FLAG_COMPRESSED) !== 0;
      return answer({ kind: "dump", type: stored, compressed, from: readable });
    }
    case Command.ERASE: {
      const stored = storedType(type, limits);
      if (stored === undefined) {
        return answer(refused(errno.ENOENT, `ERASE of type ${type}, which isn't kept`));
      }
      return answer({ kind: "erase", type: stored, id });
    }
    default:
      return answer(refused(errno.EOPNOTSUPP, `command ${cmd}, which isn't known`));
  }
}
