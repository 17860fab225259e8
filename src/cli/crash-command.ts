import { spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import type { Crash, CrashFacts } from "../analysis/index.js";
import { printableLine } from "../records/index.js";
import { errorLine, warn } from "../service/errors.js";
import { NO_DUMP, type SilentEnd } from "./ended.js";

/** What the command is told, by the names of its variables without what they begin with. */
type Known = Readonly<Record<string, string | number | undefined>>;

/** As run(). */
export function runForCrash(
  path: string,
  line: string,
  crash: Crash,
  facts: CrashFacts,
): Promise<boolean> {
  const { name, guest, dump } = crash;
  const { time, reason, boot } = dump;
  const { cutShort, ...said } = facts;
  const known = {
    ...said,
    guest,
    reason,
    boot,
    crash: name,
    path: resolve(path),
    time: time.toISOString(),
  };
  return run(line, name, known);
}

/** As run(). */
export function runForEnd(path: string, line: string, end: SilentEnd): Promise<boolean> {
  const { guest, time, boot, console } = end;
  const last = console?.lastLine;
  return run(line, guest, {
    kind: "ended",
    title: NO_DUMP,
    guest,
    boot,
    path: resolve(path),
    time: time.toISOString(),
    // A variable can't hold all that a line can.
    last_line: last === undefined ? undefined : printableLine(last),
  });
}

/**
 * Runs the command to its end; that it failed is told, and doesn't end watching. False where it can't be run
 * at all, as when there are too many processes.
 */
async function run(line: string, name: string, known: Known): Promise<boolean> {
  const variables = Object.entries(known).flatMap(([key, value]) =>
    value === undefined ? [] : [[`VIRTIO_PSTORE_${key.toUpperCase()}`, `${value}`]],
  );
  try {
    const child = spawn("/bin/sh", ["-c", line], {
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, ...(Object.fromEntries(variables) as Record<string, string>) },
      // A Ctrl-C is for watch, which lets the command end.
      detached: true,
    });
    const [status, signal] = (await once(child, "exit")) as [number | null, string | null];
    if (status !== 0) warn(`${name}: the command ended with ${signal ?? `status ${status}`}`);
    return true;
  } catch (error) {
    warn(`${name}: the command can't be run, and is tried again: ${errorLine(error)}`);
    return false;
  }
}
