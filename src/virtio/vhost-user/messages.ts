import { MAX_QUEUE_SIZE } from "../virtqueue/index.js";
import type { BackEnd } from "./back-end.js";
import { createInflight, InflightMemory } from "./inflight-memory.js";
import { MAX_MEMORY_SLOTS } from "./memory-table.js";
import type { ReceivedMessage } from "./message-reader.js";
import {
  bit,
  decodeConfigAccess,
  decodeInflight,
  decodeMemoryRegion,
  decodeMemoryTable,
  decodeU64,
  decodeVringAddress,
  decodeVringState,
  encodeInflight,
  encodeMessage,
  encodeU64,
  Feature,
  FLAG_REPLY,
  FLAG_VERSION_1,
  FrontEndMessage,
  ProtocolError,
  ProtocolFeature,
  VRING_INDEX_MASK,
  VRING_NO_FD,
} from "./protocol.js";
import type { Vring } from "./vring.js";

const TRANSPORT_FEATURES =
  bit(Feature.RING_INDIRECT_DESC) |
  bit(Feature.RING_EVENT_IDX) |
  bit(Feature.VHOST_USER_F_PROTOCOL_FEATURES) |
  bit(Feature.VERSION_1);

const PROTOCOL_FEATURES =
  bit(ProtocolFeature.MQ) |
  bit(ProtocolFeature.REPLY_ACK) |
  bit(ProtocolFeature.BACKEND_REQ) |
  bit(ProtocolFeature.CONFIG) |
  bit(ProtocolFeature.INFLIGHT_SHMFD) |
  bit(ProtocolFeature.RESET_DEVICE) |
  bit(ProtocolFeature.CONFIGURE_MEM_SLOTS) |
  bit(ProtocolFeature.STATUS);

/** Does what a message asks for and returns the reply's payload where it has one of its own. */
export function handleMessage(
  backEnd: BackEnd,
  message: ReceivedMessage,
  descriptors: number[],
): Uint8Array | "sent" | undefined {
  switch (message.request) {
    case FrontEndMessage.GET_FEATURES:
      return encodeU64(backEnd.device.features | TRANSPORT_FEATURES);
    case FrontEndMessage.SET_FEATURES:
      backEnd.features = subset(message, backEnd.device.features | TRANSPORT_FEATURES);
      backEnd.device.negotiated(backEnd.features & backEnd.device.features);
      return undefined;
    case FrontEndMessage.GET_PROTOCOL_FEATURES:
      return encodeU64(PROTOCOL_FEATURES);
    case FrontEndMessage.SET_PROTOCOL_FEATURES:
      backEnd.protocolFeatures = subset(message, PROTOCOL_FEATURES);
      return undefined;
    case FrontEndMessage.SET_OWNER:
      return undefined;
    case FrontEndMessage.GET_QUEUE_NUM:
      return encodeU64(BigInt(backEnd.vrings.length));
    case FrontEndMessage.GET_MAX_MEM_SLOTS:
      return encodeU64(BigInt(MAX_MEMORY_SLOTS));
    case FrontEndMessage.SET_MEM_TABLE:
      backEnd.suspendRings();
      backEnd.memory.replace(decodeMemoryTable(message), descriptors.splice(0));
      return undefined;
    case FrontEndMessage.ADD_MEM_REG:
      backEnd.memory.add(decodeMemoryRegion(message), descriptors.splice(0));
      // Rings may lie in a region that was removed and comes back.
      backEnd.resumeRings();
      return undefined;
    case FrontEndMessage.REM_MEM_REG:
      backEnd.suspendRings();
      backEnd.memory.remove(decodeMemoryRegion(message));
      return undefined;
    case FrontEndMessage.SET_VRING_NUM: {
      const { index, num } = decodeVringState(message);
      if (num < 1 || num > MAX_QUEUE_SIZE || (num & (num - 1)) !== 0) {
        throw new ProtocolError("BAD_VALUE", `a queue of ${num} descriptors`);
      }
      vringOf(backEnd, index).setSize(num);
      return undefined;
    }
    case FrontEndMessage.SET_VRING_ADDR: {
      const address = decodeVringAddress(message);
      vringOf(backEnd, address.index).setAddress(address);
      return undefined;
    }
    case FrontEndMessage.SET_VRING_BASE: {
      const { index, num } = decodeVringState(message);
      vringOf(backEnd, index).setBase(num);
      return undefined;
    }
    case FrontEndMessage.GET_VRING_BASE: {
      const { index } = decodeVringState(message);
      const payload = Buffer.alloc(8);
      payload.writeUInt32LE(index, 0);
      payload.writeUInt32LE(vringOf(backEnd, index).stop(), 4);
      return payload;
    }
    case FrontEndMessage.SET_VRING_KICK: {
      const [vring, fd] = vringDescriptor(backEnd, message, descriptors);
      vring.setKick(fd);
      // Without the protocol features there is no SET_VRING_ENABLE: a ring that is started runs.
      if ((backEnd.features & bit(Feature.VHOST_USER_F_PROTOCOL_FEATURES)) === 0n) {
        vring.setEnabled(true);
      }
      return undefined;
    }
    case FrontEndMessage.SET_VRING_CALL: {
      const [vring, fd] = vringDescriptor(backEnd, message, descriptors);
      vring.setCall(fd);
      return undefined;
    }
    case FrontEndMessage.SET_VRING_ERR: {
      const [vring, fd] = vringDescriptor(backEnd, message, descriptors);
      vring.setErr(fd);
      return undefined;
    }
    case FrontEndMessage.SET_VRING_ENABLE: {
      const { index, num } = decodeVringState(message);
      vringOf(backEnd, index).setEnabled(num !== 0);
      return undefined;
    }
    case FrontEndMessage.SET_BACKEND_REQ_FD: {
      backEnd.setBackEndChannel(descriptorOf(descriptors));
      return undefined;
    }
    case FrontEndMessage.GET_INFLIGHT_FD: {
      const { fd, description } = createInflight(decodeInflight(message), backEnd.vrings.length);
      descriptors.push(fd);
      const flags = FLAG_VERSION_1 | FLAG_REPLY;
      const reply = encodeMessage(message.request, flags, encodeInflight(description));
      backEnd.connection.sendWith(reply, fd);
      return "sent";
    }
    case FrontEndMessage.SET_INFLIGHT_FD: {
      const description = decodeInflight(message);
      const fd = descriptorOf(descriptors);
      const state = { ...description, file: backEnd.connection.nameOf(fd) };
      const inflight = new InflightMemory(state, fd, backEnd.vrings.length);
      if (!inflight.sealed) backEnd.warnUnsealed("the memory for requests in flight");
      backEnd.suspendRings();
      backEnd.inflight?.unmap();
      backEnd.inflight = inflight;
      return undefined;
    }
    case FrontEndMessage.GET_CONFIG:
      backEnd.expectDriver();
      return readConfig(backEnd, message);
    case FrontEndMessage.SET_CONFIG: {
      backEnd.expectDriver();
      const { offset, size, bytes } = decodeConfigAccess(message);
      if (bytes.length < size) {
        throw new ProtocolError("BAD_PAYLOAD", `${size} bytes announced, ${bytes.length} came`);
      }
      backEnd.device.writeConfig(offset, Buffer.from(bytes.subarray(0, size)));
      return undefined;
    }
    case FrontEndMessage.GET_STATUS:
      return encodeU64(BigInt(backEnd.status));
    case FrontEndMessage.SET_STATUS:
      backEnd.status = Number(decodeU64(message) & 0xffn);
      if (backEnd.status === 0) backEnd.reset();
      return undefined;
    case FrontEndMessage.RESET_DEVICE:
      backEnd.reset();
      return undefined;
    case FrontEndMessage.RESET_OWNER:
      // Deprecated; "ignore this message, or use it to disable all rings".
      for (const vring of backEnd.vrings) vring.setEnabled(false);
      return undefined;
    default:
      throw new ProtocolError("UNSUPPORTED", "this back-end doesn't know the message");
  }
}

/**
 * What a message with a reply of its own is answered when it fails: the front-end waits for it, and
 * takes a REPLY_ACK for the reply. Throws where the reply has no way to tell of an error.
 */
export function errorReply(request: number, error: unknown): Uint8Array | undefined {
  if (request === FrontEndMessage.GET_CONFIG) return Buffer.alloc(0);
  if (request === FrontEndMessage.GET_VRING_BASE) throw error;
  return undefined;
}

/** Always answers with as many bytes as were asked for: zeros behind the space's end. */
function readConfig(backEnd: BackEnd, message: ReceivedMessage): Uint8Array {
  const { offset, size, flags } = decodeConfigAccess(message);
  const payload = Buffer.alloc(12 + size);
  payload.writeUInt32LE(offset, 0);
  payload.writeUInt32LE(size, 4);
  payload.writeUInt32LE(flags, 8);
  backEnd.configRead = Math.max(backEnd.configRead, offset + size);
  payload.set(backEnd.device.readConfig().subarray(offset, offset + size), 12);
  return payload;
}

function subset(message: ReceivedMessage, offered: bigint): bigint {
  const chosen = decodeU64(message);
  if ((chosen & ~offered) !== 0n) {
    throw new ProtocolError(
      "BAD_VALUE",
      `bits 0x${(chosen & ~offered).toString(16)} were not offered`,
    );
  }
  return chosen;
}

function vringOf(backEnd: BackEnd, index: number): Vring {
  const vring = backEnd.vrings[index];
  if (vring === undefined) {
    throw new ProtocolError("BAD_VALUE", `queue ${index} of ${backEnd.vrings.length}`);
  }
  return vring;
}

function vringDescriptor(
  backEnd: BackEnd,
  message: ReceivedMessage,
  descriptors: number[],
): [Vring, number | undefined] {
  const value = decodeU64(message);
  const vring = vringOf(backEnd, Number(value & VRING_INDEX_MASK));
  if ((value & VRING_NO_FD) !== 0n) return [vring, undefined];
  return [vring, descriptorOf(descriptors)];
}

/** Takes over the descriptor that a message came with. */
function descriptorOf(descriptors: number[]): number {
  const fd = descriptors.shift();
  if (fd !== undefined) return fd;
  throw new ProtocolError("BAD_DESCRIPTORS", "the message's descriptor is missing");
}
