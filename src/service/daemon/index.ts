export { Daemon } from "./daemon.js";
export type { GuestState } from "./guest-state.js";
export { type DaemonMemory, daemonMemory, type GuestPlace, type RegionPlace } from "./memory.js";
export type {
  Confinement,
  DaemonEvent,
  DaemonSettings,
  DeviceSettings,
  GuestSettings,
} from "./settings.js";
export { type DaemonStatus, daemonStatus, type GuestStatus } from "./status.js";
