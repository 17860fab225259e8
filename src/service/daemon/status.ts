import { formatRecordName, type RecordTypeName } from "../../records/index.js";
import { version } from "../../version.js";
import type { GuestState } from "./guest-state.js";

// What the command `status` is answered on the control socket (docs/json.md). Times are ISO 8601.

/** The quota of one type of records, in files and bytes. */
export interface QuotaStatus {
  readonly type: RecordTypeName;
  readonly records: number;
  readonly bytes: number;
  readonly maxRecords: number;
  readonly maxBytes: number;
}

export interface GuestStatus {
  readonly guest: string;
  readonly directory: string;
  /** Since when. */
  readonly connected?: string;
  readonly driver?: {
    readonly state: "none" | "running" | "stopped";
    readonly since: string;
    readonly interface?: string;
    readonly types?: readonly RecordTypeName[];
    readonly queues?: number;
  };
  readonly lastLine?: string;
  readonly lastDump?: { readonly name: string; readonly time: string };
  readonly lastEnd?: { readonly kind: string; readonly time: string };
  readonly quotas: readonly QuotaStatus[];
  readonly refused: { readonly times: number; readonly bytes: number };
}

export interface DaemonStatus {
  readonly program: string;
  readonly pid: number;
  /** When the process began. */
  readonly since: string;
  readonly guests: readonly GuestStatus[];
}

const began = iso(performance.timeOrigin);

/** Of this process. */
export function daemonStatus(states: readonly GuestState[]): DaemonStatus {
  return { program: version, pid: process.pid, since: began, guests: states.map(guestStatus) };
}

function guestStatus(state: GuestState): GuestStatus {
  const { guest, directory, connectedMs, driver, lastLineMs, lastDump, lastEnd } = state;
  return {
    guest,
    directory,
    ...(connectedMs !== undefined && { connected: iso(connectedMs) }),
    ...(driver && {
      driver: { state: driver.state, since: iso(driver.sinceMs), ...state.started },
    }),
    ...(lastLineMs !== undefined && { lastLine: iso(lastLineMs) }),
    ...(lastDump && {
      lastDump: { name: formatRecordName(lastDump), time: iso(lastDump.timeMs) },
    }),
    ...(lastEnd && { lastEnd: { kind: lastEnd.kind, time: iso(lastEnd.timeMs) } }),
    quotas: [...state.quotas].map(([type, { used, quota }]) => ({
      type,
      records: used.records,
      bytes: used.bytes,
      maxRecords: quota.records,
      maxBytes: quota.bytes,
    })),
    refused: state.refused,
  };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
