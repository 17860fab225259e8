export type { Confinement } from "./confinement.js";
export { Daemon } from "./daemon.js";
export type { DaemonEvent, DaemonSettings, DeviceSettings, GuestSettings } from "./settings.js";
