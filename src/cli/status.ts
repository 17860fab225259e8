import type { Command } from "commander";
import { printableJson } from "../records/printable.js";
import type { DaemonStatus, GuestStatus } from "../service/daemon/index.js";
import { USAGE, UserError } from "../service/errors.js";
import { formatSize } from "../service/size.js";
import { askDaemon } from "./ask-daemon.js";
import { controlPath } from "./control-options.js";
import { writeOut } from "./stdout.js";
import { formatTable, terminalWidth } from "./table.js";
import { formatAge } from "./time.js";

interface StatusOptions {
  readonly control?: string;
  readonly json: boolean;
}

export function addStatus(program: Command): void {
  program
    .command("status")
    .summary("tell what a running daemon knows of its guests")
    .description(
      "Asks the daemon of `serve` or `run` about its guests. CONNECTED says for how long a VMM has been connected. " +
        "DRIVER is the running driver's interface, extended or 2016; or stopped, when the driver has reset the device " +
        "or the machine is paused; or, when no VMM is connected, how the last one ended. LINE and DUMP are the ages of " +
        "the console's last line and of the newest dump. QUOTA says which type of records has used the most of its quota. " +
        "REFUSED counts what was refused since the daemon started.",
    )
    .argument("[path]", "the daemon's --directory")
    .option("--control <socket>", "the daemon's control socket, instead of PATH")
    .option("--json", "print a JSON object", false)
    .action(status);
}

async function status(path: string | undefined, options: StatusOptions): Promise<void> {
  const { control, json } = options;
  if ((path === undefined) === (control === undefined)) {
    throw new UserError("status needs either PATH or --control SOCKET", USAGE);
  }
  const socket = control ?? controlPath(path ?? ".");
  const told = await askDaemon({ socket, directory: path, command: "status", isResult: isStatus });
  await writeOut(json ? `${printableJson(told, 2)}\n` : tableOf(told));
}

const isStatus = (result: unknown): result is DaemonStatus =>
  typeof result === "object" &&
  result !== null &&
  "guests" in result &&
  Array.isArray(result.guests);

function tableOf({ guests }: DaemonStatus): string {
  const rows = guests.map((guest) => [
    guest.guest === "" ? guest.directory : guest.guest,
    age(guest.connected),
    driverOf(guest),
    guest.driver?.types?.join(",") ?? "-",
    age(guest.lastLine),
    guest.lastDump === undefined ? "-" : `${guest.lastDump.name} ${age(guest.lastDump.time)}`,
    fullest(guest),
    refusedOf(guest),
  ]);
  const head = ["GUEST", "CONNECTED", "DRIVER", "TYPES", "LINE", "DUMP", "QUOTA", "REFUSED"];
  return formatTable([head, ...rows], terminalWidth());
}

const age = (time: string | undefined): string =>
  time === undefined ? "-" : formatAge(new Date(time));

/** Of a guest that isn't there how it went. */
function driverOf({ driver, lastEnd }: GuestStatus): string {
  if (driver === undefined)
    return lastEnd === undefined ? "-" : `${lastEnd.kind} ${age(lastEnd.time)}`;
  if (driver.state === "none") return "-";
  const what = driver.state === "running" ? driver.interface : driver.state;
  return `${what} ${age(driver.since)}`;
}

/** Of the type that has the least left. */
function fullest({ quotas }: GuestStatus): string {
  const shares = quotas.map(({ type, records, bytes, maxRecords, maxBytes }) => ({
    type,
    share: Math.max(records / maxRecords, bytes / maxBytes),
  }));
  const [most] = shares.sort((a, b) => b.share - a.share);
  return most === undefined ? "-" : `${most.type} ${Math.ceil(most.share * 100)}%`;
}

const refusedOf = ({ refused: { times, bytes } }: GuestStatus): string =>
  times === 0 ? "-" : `${times} (${formatSize(bytes)})`;
