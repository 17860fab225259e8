import type { DriverQueue } from "./fake-driver.js";
import type { FakeFrontEnd } from "./fake-front-end.js";
import { frontEndMode } from "./front-end-mode.js";
import type { GuestRam } from "./guest-ram.js";
import {
  config,
  F_EVENT_IDX,
  F_INDIRECT,
  F_PROTOCOL_FEATURES,
  F_VERSION_1,
  P_BACKEND_REQ,
  P_CONFIG,
  P_CONFIGURE_MEM_SLOTS,
  P_INBAND_NOTIFICATIONS,
  P_MQ,
  P_REPLY_ACK,
  P_RESET_DEVICE,
  P_STATUS,
  u64,
  VU,
} from "./vhost-user-wire.js";

/** What a front-end learns when it connects. */
export interface Offer {
  readonly features: bigint;
  readonly protocolFeatures: bigint;
  readonly queueCount: number;
  readonly memorySlots: number;
}

export interface StartOptions {
  /** Feature bits that the driver takes; what the back-end doesn't offer is left out. */
  readonly features?: bigint;
  /** SET_VRING_BASE, for each ring. */
  readonly base?: number;
  /** SET_MEM_TABLE rather than ADD_MEM_REG. */
  readonly wholeTable?: boolean;
  /** Bytes of config space that the driver reads. */
  readonly configBytes?: number;
}

const QEMU_KNOWS =
  P_MQ | P_REPLY_ACK | P_BACKEND_REQ | P_CONFIG | P_RESET_DEVICE | P_CONFIGURE_MEM_SLOTS | P_STATUS;

/** virtio_uml masks everything else. */
const UML_KNOWS = P_REPLY_ACK | P_BACKEND_REQ | P_CONFIG | P_INBAND_NOTIFICATIONS;

const STATUS_FEATURES_OK = 8n;
export const ALL_FEATURES = F_VERSION_1 | F_INDIRECT | F_EVENT_IDX;

/** What front-ends leave out that speak so. */
function unknownBits(): bigint {
  const { speech } = frontEndMode();
  return speech === "unacknowledged" || speech === "queued" ? P_REPLY_ACK : 0n;
}

/** A front-end that doesn't wait for replies knows what the back-end offers. */
function beginNegotiation(frontEnd: FakeFrontEnd): void {
  if (frontEndMode().speech === "queued") frontEnd.queue();
}

/** What QEMU 11.1.3's vhost-user-test-device says when it starts, in its order. */
export async function qemuConnect(
  frontEnd: FakeFrontEnd,
  queues: readonly DriverQueue[],
  known = QEMU_KNOWS,
): Promise<Offer> {
  beginNegotiation(frontEnd);
  const offered = await frontEnd.askU64(VU.GET_FEATURES, ALL_FEATURES | F_PROTOCOL_FEATURES);
  const protocolFeatures = await frontEnd.askU64(VU.GET_PROTOCOL_FEATURES, QEMU_KNOWS);
  const chosen = protocolFeatures & known & ~unknownBits();
  await frontEnd.must(VU.SET_PROTOCOL_FEATURES, u64(chosen));
  frontEnd.protocolFeatures = chosen;
  const queueCount = Number(await frontEnd.askU64(VU.GET_QUEUE_NUM, BigInt(queues.length)));
  const memorySlots = Number(await frontEnd.askU64(VU.GET_MAX_MEM_SLOTS, 8n));
  await frontEnd.must(VU.SET_OWNER);
  await frontEnd.askU64(VU.GET_FEATURES, offered);
  for (const [index, queue] of queues.entries()) {
    await frontEnd.setRingDescriptor(VU.SET_VRING_CALL, index, queue.callNotifier.passed);
    await frontEnd.setRingDescriptor(VU.SET_VRING_ERR, index, queue.errorNotifier.passed);
  }
  return { features: offered, protocolFeatures, queueCount, memorySlots };
}

/** What QEMU says as the guest's driver starts. It says nothing of DRIVER_OK. */
export async function qemuStart(
  frontEnd: FakeFrontEnd,
  ram: GuestRam,
  queues: readonly DriverQueue[],
  options: StartOptions = {},
): Promise<void> {
  const { features = F_VERSION_1, base = 0, configBytes = 8 } = options;
  await frontEnd.ask(VU.GET_CONFIG, config(0, configBytes), Buffer.alloc(12 + configBytes));
  await frontEnd.must(VU.SET_FEATURES, u64(features | F_PROTOCOL_FEATURES));
  const status = await frontEnd.askU64(VU.GET_STATUS, 0n);
  if ((status & STATUS_FEATURES_OK) === 0n) {
    await frontEnd.must(VU.SET_STATUS, u64(status | STATUS_FEATURES_OK));
  }
  if (options.wholeTable === true) {
    if ((await frontEnd.setMemoryTable(ram)) !== 0n) throw new Error("SET_MEM_TABLE is refused");
  } else {
    for (const region of ram.regions) {
      if ((await frontEnd.addRegion(region)) !== 0n) throw new Error("ADD_MEM_REG is refused");
    }
  }
  for (const [index, queue] of queues.entries()) {
    await startRing(frontEnd, index, queue, base);
    await frontEnd.setRingDescriptor(VU.SET_VRING_CALL, index, queue.callNotifier.passed);
  }
  for (const index of queues.keys()) {
    await frontEnd.setRingState(VU.SET_VRING_ENABLE, index, 1);
  }
  await frontEnd.caughtUp();
}

/** What QEMU says when the driver resets the device, or the machine stops: each ring's index. */
export async function qemuStop(
  frontEnd: FakeFrontEnd,
  queues: readonly DriverQueue[],
): Promise<number[]> {
  const bases: number[] = [];
  for (const index of queues.keys()) {
    await frontEnd.setRingState(VU.SET_VRING_ENABLE, index, 0);
  }
  for (const index of queues.keys()) bases.push(await frontEnd.getRingBase(index));
  return bases;
}

/** SET_VRING_NUM, BASE, ADDR, KICK: a ring, but for its call descriptor and its being enabled. */
export async function startRing(
  frontEnd: FakeFrontEnd,
  index: number,
  queue: DriverQueue,
  base = 0,
): Promise<void> {
  await frontEnd.setRingState(VU.SET_VRING_NUM, index, queue.size);
  await frontEnd.setRingState(VU.SET_VRING_BASE, index, base);
  await frontEnd.setRingAddress(index, queue);
  await frontEnd.setRingDescriptor(VU.SET_VRING_KICK, index, queue.kickNotifier.passed);
}

/** What virtio_uml says when it connects. */
export async function umlConnect(frontEnd: FakeFrontEnd, replyAck = true): Promise<Offer> {
  beginNegotiation(frontEnd);
  frontEnd.send(VU.SET_OWNER);
  const features = await frontEnd.askU64(VU.GET_FEATURES, F_PROTOCOL_FEATURES);
  const protocolFeatures = await frontEnd.askU64(
    VU.GET_PROTOCOL_FEATURES,
    UML_KNOWS & ~P_INBAND_NOTIFICATIONS,
  );
  const chosen = protocolFeatures & UML_KNOWS & ~(replyAck ? unknownBits() : P_REPLY_ACK);
  // It counts on REPLY_ACK before the message that negotiates it is answered.
  frontEnd.protocolFeatures = chosen;
  await frontEnd.must(VU.SET_PROTOCOL_FEATURES, u64(chosen));
  await frontEnd.openChannel();
  return { features, protocolFeatures, queueCount: 0, memorySlots: 0 };
}

/** What virtio_uml says when a driver binds: rings of 256, one region, a table of two slots' length. */
export async function umlStart(
  frontEnd: FakeFrontEnd,
  ram: GuestRam,
  queues: readonly DriverQueue[],
  options: StartOptions = {},
): Promise<void> {
  const { features = 0n, configBytes = 8 } = options;
  await frontEnd.must(VU.SET_FEATURES, u64(features | F_PROTOCOL_FEATURES));
  if ((await frontEnd.setMemoryTable(ram, 2)) !== 0n) throw new Error("SET_MEM_TABLE is refused");
  for (const [index, queue] of queues.entries()) {
    await frontEnd.setRingDescriptor(VU.SET_VRING_CALL, index, queue.callNotifier.passed);
    await frontEnd.setRingState(VU.SET_VRING_NUM, index, queue.size);
    await frontEnd.setRingState(VU.SET_VRING_BASE, index, 0);
    await frontEnd.setRingAddress(index, queue);
  }
  for (const [index, queue] of queues.entries()) {
    await frontEnd.setRingDescriptor(VU.SET_VRING_KICK, index, queue.kickNotifier.passed);
    await frontEnd.setRingState(VU.SET_VRING_ENABLE, index, 1);
  }
  for (let bytes = 1; bytes <= configBytes; bytes++) {
    await frontEnd.ask(VU.GET_CONFIG, config(0, bytes), Buffer.alloc(12 + bytes));
  }
  await frontEnd.caughtUp();
}

/** What virtio_uml says when its driver unloads. */
export async function umlStop(
  frontEnd: FakeFrontEnd,
  queues: readonly DriverQueue[],
): Promise<void> {
  for (const index of [...queues.keys()].reverse()) {
    await frontEnd.setRingState(VU.SET_VRING_ENABLE, index, 0);
  }
  await frontEnd.ask(VU.GET_FEATURES);
}
