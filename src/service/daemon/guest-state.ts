import type { DriverSummary } from "../../device/index.js";
import type { GuestEnd, RecordName, RecordTypeName } from "../../records/index.js";
import type { Quota } from "../../store/index.js";
import type { DriverActivity, SharedRegion } from "../../virtio/vhost-user/index.js";

/** What is known of a guest now: what a command that asks the daemon shows. Times are in milliseconds since 1970. */
export interface GuestState {
  /** In logs; empty where there is only one. */
  readonly guest: string;
  readonly directory: string;
  /** Since when its front-end is connected, also through restarts of the daemon; undefined where none is. */
  readonly connectedMs: number | undefined;
  /** Of the front-end that is connected. */
  readonly driver: DriverActivity | undefined;
  /** The guest's memory that its front-end shares; none where no front-end is connected. */
  readonly sharedRegions: readonly SharedRegion[];
  /** The interface, types and queues that the driver has negotiated, while it runs. */
  readonly started: DriverSummary | undefined;
  /** When something was last appended to its console. */
  readonly lastLineMs: number | undefined;
  /** The newest record of its log that is there. */
  readonly lastDump: (RecordName & { readonly timeMs: number }) | undefined;
  /** How its front-end went away the last time. */
  readonly lastEnd: GuestEnd | undefined;
  /** What the records of each type that is taken take, and may take. */
  readonly quotas: ReadonlyMap<RecordTypeName, { readonly used: Quota; readonly quota: Quota }>;
  /** What wasn't taken since this process began, because of a bound. */
  readonly refused: { readonly times: number; readonly bytes: number };
}
