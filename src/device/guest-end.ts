import type { EndKind } from "../store/index.js";
import type { FrontEndEnd, LogEvent } from "../vhost-user/index.js";

/** A VMM that ends sooner has started no guest: it didn't like its command line, or only looked. */
const PROBE_MS = 500;

/** A guest whose VMM ends sooner may not have come to its driver. */
const BOOT_MS = 2000;

/** How a guest ended. `dumped`: a dump came that it may have ended behind. Undefined where there was none. */
export function endKind(
  { driver, connectedMs, tellsStops }: FrontEndEnd,
  dumped: boolean,
  nowMs: number,
): EndKind | undefined {
  if (driver === "none") return nowMs - connectedMs < PROBE_MS ? undefined : "no-driver";
  if (dumped) return "dumped";
  if (driver === "stopped") return "stopped";
  return tellsStops ? "without-dump" : "unknown";
}

const MESSAGES: Readonly<Record<EndKind, string>> = {
  stopped: "guest ended: its driver had stopped, as at a poweroff",
  dumped: "guest ended: it left a dump",
  "without-dump":
    "guest ended without a dump: its VMM died or was killed, and the driver was neither stopped nor did it send one",
  "no-driver":
    "guest ended: no driver ever came; check in the guest that virtio_pstore.ko is there for its kernel and is loaded " +
    "at boot (lsmod), and what `dmesg | grep virtio_pstore` says",
  unknown: "guest ended; whether in order isn't known: this VMM doesn't tell",
};

/** What the operator is told of it. */
export function describeEnd(kind: EndKind, { connectedMs }: FrontEndEnd, nowMs: number): LogEvent {
  const isWarning =
    kind === "without-dump" || (kind === "no-driver" && nowMs - connectedMs >= BOOT_MS);
  return {
    level: isWarning ? "warn" : "info",
    code: "END",
    message: MESSAGES[kind],
    details: { end: kind, seconds: Math.max(0, Math.round((nowMs - connectedMs) / 1000)) },
  };
}
