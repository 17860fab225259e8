export type { Confinement } from "./confinement.js";
export { Daemon } from "./daemon.js";
export type { GuestState } from "./guest-state.js";
export type { DaemonEvent, DaemonSettings, DeviceSettings, GuestSettings } from "./settings.js";
export { type DaemonStatus, daemonStatus, type GuestStatus } from "./status.js";
