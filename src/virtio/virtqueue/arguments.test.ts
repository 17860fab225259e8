import { expect, test } from "vitest";
import {
  ArgumentError,
  GuestMemory,
  InflightRegion,
  type MemoryRegion,
  userAddress,
  Virtqueue,
  type VirtqueueLayout,
} from "./index.js";

const layout: VirtqueueLayout = {
  size: 4,
  descriptors: userAddress(0n),
  available: userAddress(0x1000n),
  used: userAddress(0x2000n),
  indirect: false,
  eventIndex: false,
  nextAvailable: 0,
};

const wrong = (of: unknown) => of as never;

test.each([
  [
    "memory must be a GuestMemory, not an object",
    () => new Virtqueue(wrong({ regions: [] }), layout),
  ],
  ["layout must be an object, not undefined", () => queue(undefined)],
  ["layout.descriptors must be a bigint, not 4096", () => queue({ ...layout, descriptors: 4096 })],
  ["layout.used must be a bigint, not undefined", () => queue({ ...layout, used: undefined })],
  [
    'layout.size must be a whole number from 0 to 4294967295, not "4"',
    () => queue({ ...layout, size: "4" }),
  ],
  [
    "layout.maxDescriptors must be a whole number from 1 to 32768, not 0",
    () => queue({ ...layout, maxDescriptors: 0 }),
  ],
  ["region.guestAddress must be a bigint, not undefined", () => add({})],
  [
    "region.mapping must be an object, not undefined",
    () => add({ guestAddress: 0n, userAddress: 0n, size: 1n }),
  ],
  [
    "memory must be an ArrayBuffer, not an object",
    () => new InflightRegion(wrong(new Uint8Array(64)), 0, 4),
  ],
  [
    "queueSize must be a whole number from 0 to 4294967295, not 1.5",
    () => new InflightRegion(new ArrayBuffer(256), 0, 1.5),
  ],
])("a wrong argument is named: %s", (message, call) => {
  expect(call).toThrow(new ArgumentError(message));
});

const queue = (of: unknown) => new Virtqueue(new GuestMemory(), wrong(of));

const add = (region: Readonly<Partial<Record<keyof MemoryRegion, unknown>>>) => {
  new GuestMemory().add(wrong(region));
};
