import type { DriverActivity } from "./device.js";
import type { InflightDescription, RegionDescription, VringAddress } from "./protocol.js";

/** A descriptor that a former process was sent, by the name under which its connection keeps it. */
export type DescriptorName = string;

/** A region of guest memory, and its file. */
export interface RegionState extends RegionDescription {
  readonly file: DescriptorName;
}

/** The memory of SET_INFLIGHT_FD. */
export interface InflightState extends InflightDescription {
  readonly file: DescriptorName;
}

/** One vring. */
export interface RingState {
  readonly size: number;
  readonly address: VringAddress | undefined;
  /** The available ring's index of the next chain, where the ring isn't processed. */
  readonly nextAvailable: number;
  /** How often SET_VRING_BASE or a reset set it. */
  readonly baseCount: number;
  /** Where it is: by how much that index is ahead of the used ring's, chains in flight left out. */
  readonly aheadOfUsed: number | undefined;
  readonly enabled: boolean;
  readonly started: boolean;
  readonly kick: DescriptorName | undefined;
  readonly call: DescriptorName | undefined;
  readonly err: DescriptorName | undefined;
}

/** All that a front-end told a session and that still holds: what another process needs to go on with it. */
export interface SessionState {
  readonly features: bigint;
  readonly protocolFeatures: bigint;
  readonly status: number;
  /** Rings ran since the driver was last reset. */
  readonly ran: boolean;
  /** How many bytes of the configuration space were read since then. */
  readonly configRead: number;
  /** Since when the front-end is connected, in milliseconds since 1970. */
  readonly connectedMs: number;
  readonly driver: DriverActivity;
  /** The device's configuration space in hexadecimal digits, with what the driver wrote into it. */
  readonly config: string;
  readonly regions: readonly RegionState[];
  /** Which message left the guest without memory, and how. */
  readonly memoryLost: string | undefined;
  readonly vrings: readonly RingState[];
  readonly backEndChannel: DescriptorName | undefined;
  readonly inflight: InflightState | undefined;
}

/** The descriptors that a state refers to. */
export function descriptorNames({
  regions,
  vrings,
  backEndChannel,
  inflight,
}: SessionState): DescriptorName[] {
  return [
    ...regions.map(({ file }) => file),
    ...vrings.flatMap(({ kick, call, err }) => [kick, call, err]),
    backEndChannel,
    inflight?.file,
  ].filter((name) => name !== undefined);
}
