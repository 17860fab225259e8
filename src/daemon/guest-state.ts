import type { GuestEnd, RecordName } from "../store/index.js";
import type { DriverActivity } from "../vhost-user/index.js";

/** What is known of a guest now: what a command that asks the daemon shows. Times are in milliseconds since 1970. */
export interface GuestState {
  /** In logs; empty where there is only one. */
  readonly guest: string;
  /** Since when its front-end is connected, also through restarts of the daemon; undefined where none is. */
  readonly connectedMs: number | undefined;
  /** Of the front-end that is connected. */
  readonly driver: DriverActivity | undefined;
  /** The newest record of its log that is there. */
  readonly lastDump: (RecordName & { readonly timeMs: number }) | undefined;
  /** How its front-end went away the last time. */
  readonly lastEnd: GuestEnd | undefined;
}
