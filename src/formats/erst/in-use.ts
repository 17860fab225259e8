import { readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { ErstError } from "./errors.js";

/** A process that could write to a file. */
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

/** O_ACCMODE of open(2): not 0 where a descriptor may be written to. */
const ACCESS = 3;

/**
 * Who else has `path` open for writing or shares its pages, as far as this user may see: root sees everybody.
 * A mapping outlives the descriptor that it was made from. Who only reads, as `erst watch` does, is no user.
 */
export function usersOf(path: string): FileUser[] {
  const { dev, ino } = statSync(path);
  const real = realpathSync(path);
  const isMapped = (folder: string): boolean =>
    attempt(() => readFileSync(join(folder, "maps"), "latin1"))
      ?.split("\n")
      // As `7f0000000000-7f0000002000 rw-s 00000000 fe:00 123 …` (proc_pid_maps(5)).
      .some(
        (line) =>
          line.endsWith(` ${real}`) && /^\S+ ...s \S+ \S+ (\d+)/.exec(line)?.[1] === `${ino}`,
      ) ?? false;
  const isWritable = (folder: string, fd: string): boolean => {
    const info = attempt(() => readFileSync(join(folder, "fdinfo", fd), "latin1")) ?? "";
    return (Number.parseInt(/^flags:\s*([0-7]+)/m.exec(info)?.[1] ?? "2", 8) & ACCESS) !== 0;
  };
  const isOpen = (folder: string): boolean =>
    attempt(() => readdirSync(join(folder, "fd")))?.some((fd) => {
      const found = attempt(() => statSync(join(folder, "fd", fd)));
      return found?.ino === ino && found.dev === dev && isWritable(folder, fd);
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
