export type { DriverSummary } from "./driver-line.js";
export { PstoreDevice, type PstoreDeviceOptions } from "./pstore-device.js";
export * from "./wire.js";
