import type { VirtioDevice } from "./device.js";

/** A caller's argument that can't be used: the message names it, and says what it must be and what it is. */
export class ArgumentError extends TypeError {
  readonly code = "WRONG_ARGUMENT";
}

/** Throws ArgumentError where `holds` is false. `name` is as the caller wrote it: `options.socketPath`. */
export function expectArgument(
  holds: boolean,
  name: string,
  value: unknown,
  expected: string,
): void {
  if (!holds) throw new ArgumentError(`${name} must be ${expected}, not ${describe(value)}`);
}

export function expectFunction(value: unknown, name: string): void {
  expectArgument(typeof value === "function", name, value, "a function");
}

/** As an object, of which properties are then looked at. */
export function expectObject(value: unknown, name: string): void {
  expectArgument(typeof value === "object" && value !== null, name, value, "an object");
}

const METHODS = ["negotiated", "readConfig", "writeConfig", "process", "reset", "close"] as const;

/** virtio 2.2: bits 0 to 23 and 50 to 127 are the device's own. */
const DEVICE_FEATURES = (1n << 24n) - 1n + (((1n << 78n) - 1n) << 50n);

/** MAX_QUEUES of QEMU's vhost-user devices and more: a queue's index is a byte in most messages. */
const MAX_QUEUES = 256;

/** virtio 2.6: the largest queue. */
const MAX_DESCRIPTORS = 32768;

const isBetween = (value: unknown, least: number, most: number): boolean =>
  Number.isInteger(value) && (value as number) >= least && (value as number) <= most;

/** Throws ArgumentError where what a caller's function returned is no VirtioDevice. */
export function expectDevice(device: VirtioDevice, name: string): void {
  expectObject(device, name);
  const { features, queueCount, maxDescriptors } = device;
  const isOwn = typeof features === "bigint" && (features & ~DEVICE_FEATURES) === 0n;
  expectArgument(isOwn, `${name}.features`, features, "a bigint of bits 0 to 23 and 50 to 127");
  const [queues, descriptors] = [`${name}.queueCount`, `${name}.maxDescriptors`];
  const most = (number: number) => `a whole number from 1 to ${number}`;
  expectArgument(isBetween(queueCount, 1, MAX_QUEUES), queues, queueCount, most(MAX_QUEUES));
  const isCount = isBetween(maxDescriptors, 1, MAX_DESCRIPTORS);
  expectArgument(isCount, descriptors, maxDescriptors, most(MAX_DESCRIPTORS));
  for (const method of METHODS) expectFunction(device[method], `${name}.${method}`);
}

function describe(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return "a function";
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" && value !== null ? "an object" : String(value);
}
