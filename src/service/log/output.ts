import type { EndKind } from "../../records/index.js";
import { printableJson } from "../../records/printable.js";
import type { DaemonEvent } from "../daemon/index.js";
import { isAtLeast, type Level, warn } from "../errors.js";
import { formatSize } from "../size.js";

/** Where a daemon's events go: lines for people on stderr, or JSON lines on stdout. */
export type Output = (event: DaemonEvent) => void;

/** One JSON object a line, with the time and the level, as scripts want it. */
const jsonOutput: Output = (event) => {
  const [time, level] = [new Date().toISOString(), levelOf(event)];
  process.stdout.write(`${printableJson({ time, level, ...event })}\n`);
};

/** One line an event. */
export const textOutput: Output = (event) => {
  const line = describe(event);
  if (line !== undefined) warn(line, levelOf(event));
};

/** Tells events of this level and those that matter more; and always that serving has begun, for which scripts wait. */
export function outputOf({ json, logLevel }: { json: boolean; logLevel: Level }): Output {
  const output = json ? jsonOutput : textOutput;
  return (event) => {
    if (event.kind === "ready" || isAtLeast(levelOf(event), logLevel)) output(event);
  };
}

function levelOf(event: DaemonEvent): Level {
  switch (event.kind) {
    case "log":
      return event.level;
    case "failed":
      return "error";
    case "restarted":
      return "warn";
    case "confined":
      return event.landlock > 0 ? "info" : "warn";
    case "stored":
      return "notice";
    default:
      return "info";
  }
}

/** What is amiss has a line of its own. */
const ENDS: Readonly<Record<EndKind, string>> = {
  stopped: ": the guest's driver had stopped, as at a poweroff",
  dumped: ": the guest had left a dump",
  unknown: ": whether the guest ended in order isn't known with this VMM",
  "without-dump": "",
  "no-driver": "",
};

const moreBefore = ({ suppressed }: { readonly suppressed: number }): string =>
  suppressed > 0 ? ` (and ${suppressed} more like it before)` : "";

function describe(event: DaemonEvent): string | undefined {
  const guest = "guest" in event && event.guest !== "" ? `${event.guest}: ` : "";
  switch (event.kind) {
    case "ready":
    case "replaced":
      return undefined;
    case "confined":
      return event.landlock > 0
        ? `confined to its directories by Landlock ${event.landlock}`
        : `warning: not confined to its directories: ${event.reason}`;
    case "connected":
      return `${guest}front-end connected${moreBefore(event)}`;
    case "disconnected":
      return `${guest}front-end disconnected${event.end === undefined ? "" : ENDS[event.end]}${moreBefore(event)}`;
    case "stored":
      return `${guest}stored ${event.path} (${formatSize(event.size)})`;
    case "log": {
      const { level, message, code } = event;
      const more = moreBefore(event);
      if (level === "info") return `${guest}${message}${more}`;
      return `${guest}${level}: ${message} [${code}]${more}`;
    }
    case "restarted":
      return `the back-end ended (${event.reason}) and was started again; its guests go on`;
    case "failed":
      return event.message;
  }
}
