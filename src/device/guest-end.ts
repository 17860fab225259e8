import type { EndKind, GuestEnd } from "../records/index.js";
import { type DirectoryStore, errorText } from "../store/index.js";
import type { FrontEndEnd, LogEvent } from "../virtio/vhost-user/index.js";

/** A VMM that ends sooner has started no guest: it didn't like its command line, or only looked. */
const PROBE_MS = 500;

/** A guest whose VMM ends sooner may not have come to its driver. */
const BOOT_MS = 2000;

/** What is known of a guest whose front-end has gone away, and who is told. */
export interface EndOptions {
  readonly store: DirectoryStore;
  /** A dump came that the guest may have ended behind. */
  readonly dumped: boolean;
  /** Its boot id, where it told one. */
  readonly boot: string | undefined;
  readonly log: (event: LogEvent) => void;
}

/** Keeps in the store, and logs, how a guest ended; undefined where there was none. */
export function keepEnd(
  end: FrontEndEnd,
  { store, dumped, boot, log }: EndOptions,
): GuestEnd | undefined {
  const timeMs = Date.now();
  const kind = endKind(end, dumped, timeMs);
  if (kind === undefined) return undefined;
  const { connectedMs } = end;
  const ended = { kind, timeMs, connectedMs, ...(boot === undefined ? {} : { boot }) };
  try {
    store.noteEnd(ended);
  } catch (error) {
    if (!(error instanceof Error && "errno" in error)) throw error;
    const why = errorText(store.directory, error);
    const message = `how the guest ended isn't kept: ${why}`;
    log({ level: "warn", code: "STORE", message });
  }
  const event = describeEnd(kind, end, timeMs);
  if (event !== undefined) log(event);
  return ended;
}

/** How a guest ended. `dumped`: a dump came that it may have ended behind. Undefined where there was none. */
function endKind(
  { driver, connectedMs, tellsStops }: FrontEndEnd,
  dumped: boolean,
  nowMs: number,
): EndKind | undefined {
  if (driver === "none") return nowMs - connectedMs < PROBE_MS ? undefined : "no-driver";
  if (dumped) return "dumped";
  if (driver === "stopped") return "stopped";
  return tellsStops ? "without-dump" : "unknown";
}

/** What the operator is told of it, where something may be amiss. */
function describeEnd(
  kind: EndKind,
  { connectedMs }: FrontEndEnd,
  nowMs: number,
): LogEvent | undefined {
  const connectedFor = nowMs - connectedMs;
  const details = { seconds: Math.max(0, Math.round(connectedFor / 1000)) };
  if (kind === "without-dump") {
    return {
      level: "warn",
      code: "NO_DUMP",
      message:
        "the guest ended without a dump: its VMM died or was killed while the guest's driver ran",
      details,
    };
  }
  if (kind === "no-driver") {
    return {
      level: connectedFor < BOOT_MS ? "info" : "warn",
      code: "NO_DRIVER",
      message:
        "the guest ended, and its driver never came: look in the guest whether virtio_pstore.ko is there for its " +
        "kernel and loaded at boot (lsmod), and what dmesg says of virtio_pstore",
      details,
    };
  }
  return undefined;
}
