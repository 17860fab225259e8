import {
  expectArgument,
  expectFunction,
  expectNumber,
  expectObject,
} from "../virtqueue/arguments.js";
import { MAX_QUEUE_SIZE } from "../virtqueue/virtqueue.js";
import type { VirtioDevice } from "./device.js";

const METHODS = ["negotiated", "readConfig", "writeConfig", "process", "reset", "close"] as const;

/** virtio 2.2: bits 0 to 23 and 50 to 127 are the device's own. */
const DEVICE_FEATURES = (1n << 24n) - 1n + (((1n << 78n) - 1n) << 50n);

/** MAX_QUEUES of QEMU's vhost-user devices and more: a queue's index is a byte in most messages. */
const MAX_QUEUES = 256;

/** Throws ArgumentError where a device lacks what a session calls. */
export function expectMethods(device: VirtioDevice, name: string): void {
  expectObject(device, name);
  for (const method of METHODS) expectFunction(device[method], `${name}.${method}`);
}

/** Throws ArgumentError where what a caller's function returned is no VirtioDevice. */
export function expectDevice(device: VirtioDevice, name: string): void {
  expectObject(device, name);
  const { features, queueCount, maxDescriptors } = device;
  const isOwn = typeof features === "bigint" && (features & ~DEVICE_FEATURES) === 0n;
  expectArgument(isOwn, `${name}.features`, features, "a bigint of bits 0 to 23 and 50 to 127");
  expectNumber(queueCount, `${name}.queueCount`, 1, MAX_QUEUES);
  expectNumber(maxDescriptors, `${name}.maxDescriptors`, 1, MAX_QUEUE_SIZE);
  expectMethods(device, name);
}
