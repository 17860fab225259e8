import { readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { ErstError } from "./errors.js";

/** A process that has a file open or mapped. */
export interface FileUser {
  readonly pid: number;
  /** Its command's name. */
  readonly command: string;
}

/** A process may end at any moment, and others' may not be looked at. */
function attempt<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch {
    return undefined;
  }
}

/**
 * Who else has `path` open or mapped, as far as this user may see: root sees everybody. A mapping
 * outlives the descriptor that it was made from.
 */
export function usersOf(path: string): FileUser[] {
  const { dev, ino } = statSync(path);
  const real = realpathSync(path);
  const isMapped = (folder: string): boolean =>
    attempt(() => readFileSync(join(folder, "maps"), "latin1"))
      ?.split("\n")
      .some((line) => line.endsWith(` ${real}`) && line.includes(` ${ino} `)) ?? false;
  const isOpen = (folder: string): boolean =>
    attempt(() => readdirSync(join(folder, "fd")))?.some((fd) => {
      const found = attempt(() => statSync(join(folder, "fd", fd)));
      return found?.ino === ino && found.dev === dev;
    }) ?? false;
  return readdirSync("/proc")
    .filter((name) => /^[0-9]+$/.test(name) && Number(name) !== process.pid)
    .filter((name) => isMapped(join("/proc", name)) || isOpen(join("/proc", name)))
    .map((name) => ({
      pid: Number(name),
      command: attempt(() => readFileSync(join("/proc", name, "comm"), "utf8").trim()) ?? "?",
    }));
}

/** Throws ErstError where somebody else could write to the file. */
export function expectUnused(path: string): void {
  const [user] = usersOf(path);
  if (user === undefined) return;
  const { pid, command } = user;
  throw new ErstError("IN_USE", `process ${pid} (${command}) uses it: wait until that has ended`);
}
