import type { GuestState } from "./guest-state.js";

// What the command `memory` is answered on the control socket (docs/json.md).

/** A run of a guest's memory, and where it is in a file that the daemon has open. Numbers of 64 bits are decimal texts. */
export interface RegionPlace {
  readonly address: string;
  readonly size: string;
  /** The daemon's descriptor: /proc/PID/fd/N. */
  readonly fd: number;
  /** Where in the file. */
  readonly offset: string;
  /** st_dev and st_ino: whether a descriptor with that number is still the same file. */
  readonly device: string;
  readonly inode: string;
}

export interface GuestPlace {
  readonly guest: string;
  readonly connected: boolean;
  readonly regions: readonly RegionPlace[];
}

export interface DaemonMemory {
  /** The process whose descriptors they are. */
  readonly pid: number;
  readonly guests: readonly GuestPlace[];
}

/** Of this process. */
export function daemonMemory(states: readonly GuestState[]): DaemonMemory {
  const guests = states.map(({ guest, connectedMs, sharedRegions }) => ({
    guest,
    connected: connectedMs !== undefined,
    regions: sharedRegions.map(({ guestAddress, size, fd, offset, device, inode }) => ({
      address: String(guestAddress),
      size: String(size),
      fd,
      offset: String(offset),
      device: String(device),
      inode: String(inode),
    })),
  }));
  return { pid: process.pid, guests };
}
