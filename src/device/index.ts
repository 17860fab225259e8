export { PstoreDevice, type PstoreDeviceOptions } from "./pstore-device.js";
export * from "./wire.js";
