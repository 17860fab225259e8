import { join } from "node:path";
import { readLines } from "./read-lines.js";

export const ENDS_NAME = ".ends";
/** Many times as much as is kept; of a longer file the end is read. */
export const MAX_ENDS_BYTES = 1 << 20;

/** How a guest's front-end went away, as its device saw it. */
export const END_KINDS = [
  /** Its driver had stopped: a poweroff, a VMM that was told to end, a machine that was suspended or paused. */
  "stopped",
  /** A dump was stored since its driver had started, and it isn't an oops's. */
  "dumped",
  /** Neither of the two: the VMM died, or was killed, while the driver ran. */
  "without-dump",
  /** No driver ever came. */
  "no-driver",
  /** A driver ran, and this VMM doesn't stop it at a poweroff either. */
  "unknown",
] as const;

export type EndKind = (typeof END_KINDS)[number];

export interface GuestEnd {
  readonly kind: EndKind;
  /** In milliseconds since 1970, by the host's clock. */
  readonly timeMs: number;
  /** Since when the front-end was connected, likewise. */
  readonly connectedMs: number;
  /** The guest's boot, 32 hexadecimal digits, where its driver told it. */
  readonly boot?: string;
}

const LINE = /^([0-9]{1,15}) ([0-9]{1,15}) ([a-z-]{1,20}) ([0-9a-f]{32}|-)$/;

export const formatEnd = ({ connectedMs, timeMs, kind, boot = "-" }: GuestEnd): string =>
  `${connectedMs} ${timeMs} ${kind} ${boot}`;

/** Undefined for what isn't such a line, or is of a kind that isn't known. */
export function parseEnd(line: string): GuestEnd | undefined {
  const [, connected, time, word, boot] = LINE.exec(line) ?? [];
  const kind = END_KINDS.find((one) => one === word);
  if (kind === undefined) return undefined;
  const end = { kind, timeMs: Number(time), connectedMs: Number(connected) };
  return boot === undefined || boot === "-" ? end : { ...end, boot };
}

/** Of each kind: a guest that is its own front-end may connect without end. */
const MOST_OF_A_KIND = 100;

/** The newest of each kind, in their order. */
export function newestEnds(ends: readonly GuestEnd[]): GuestEnd[] {
  const newest = new Set(
    END_KINDS.flatMap((kind) => ends.filter((end) => end.kind === kind).slice(-MOST_OF_A_KIND)),
  );
  return ends.filter((end) => newest.has(end));
}

/** What `.ends` of a directory says: of each kind the newest, oldest first. */
export const readEnds = (directory: string): GuestEnd[] =>
  newestEnds(
    readLines(join(directory, ENDS_NAME), MAX_ENDS_BYTES).flatMap((line) => parseEnd(line) ?? []),
  );
