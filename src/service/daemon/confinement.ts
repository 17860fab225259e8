import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, resolve } from "node:path";
import {
  Allow,
  errno,
  errnoOf,
  type LandlockRule,
  landlockAbi,
  restrictThread,
  setNoNewPrivileges,
} from "../../os/index.js";
import { makeDirectory, systemFiles } from "../../store/index.js";
import { packageFolder } from "../../version.js";
import type { Confinement } from "./settings.js";

/**
 * Restricts the calling thread and all that it starts to what serving the guests of `directories` needs.
 * It has to happen before the daemon's Node starts, because the restriction is each thread's own and Node
 * has several before it runs any of our code: call it, then replace the process.
 */
export function confineThread(directories: readonly string[]): Confinement {
  setNoNewPrivileges();
  try {
    const landlock = landlockAbi();
    if (landlock === 0) return { landlock, reason: "this kernel has no Landlock" };
    const rules = [
      ...programRules(),
      ...directories.flatMap((path) => directoryRule(resolve(path))),
    ];
    // A service manager may listen there (sd_notify(3)).
    const abstractSockets = process.env.NOTIFY_SOCKET?.startsWith("@") === true;
    restrictThread(rules, { abstractSockets });
    return { landlock };
  } catch (error) {
    return { landlock: 0, reason: error instanceof Error ? error.message : String(error) };
  }
}

/**
 * Whether a directory that failed with errno `number` is forbidden to this process by its confinement alone: the next
 * process has one for the directories that are there then. access(2) knows of modes and owners, and not of Landlock;
 * a service manager's mounts are made for each process.
 */
export function isOnlyConfined(
  directory: string,
  number: number,
  {
    landlock = 0,
    managed = false,
  }: { readonly landlock?: number | undefined; readonly managed?: boolean | undefined },
): boolean {
  const { R_OK, W_OK, X_OK } = constants;
  try {
    accessSync(directory, R_OK | W_OK | X_OK);
    return landlock > 0 && number === errno.EACCES;
  } catch (error) {
    return managed && errnoOf(error) === errno.EROFS;
  }
}

/** What Node and this program are read from. */
function programRules(): LandlockRule[] {
  const koffi = createRequire(import.meta.url).resolve("koffi");
  const modules = koffi.slice(0, koffi.lastIndexOf("/node_modules/") + "/node_modules".length);
  return [
    ...mappedFiles().map((path) => ({ path, allow: Allow.readAndExecute })),
    { path: "/etc/ld.so.cache", allow: Allow.read },
    { path: "/dev/null", allow: Allow.files },
    { path: packageFolder, allow: Allow.read },
    { path: modules, allow: Allow.read },
    ...preloaded().map((path) => ({ path, allow: Allow.read })),
  ];
}

/** What the user has Node load before any program. */
const preloaded = (): string[] =>
  (process.env.NODE_OPTIONS ?? "").split(/[\s=]+/).filter((word) => word.startsWith("/"));

/** The program and the libraries of this process, which are those of the next, wherever a system has them. */
function mappedFiles(): string[] {
  const lines = readFileSync("/proc/self/maps", "utf8").split("\n");
  return [...new Set(lines.map((line) => line.slice(line.indexOf("/"))))].filter(
    (path) => path.startsWith("/") && existsSync(path),
  );
}

/**
 * A guest's directory, and nothing for a link in its place. Where it can't be made, the daemon is to find
 * out why by itself.
 */
function directoryRule(path: string): LandlockRule[] {
  try {
    makeDirectory(systemFiles, path);
    return [{ path, allow: Allow.files, link: "itself" }];
  } catch {
    let parent = path;
    while (!existsSync(parent)) parent = dirname(parent);
    return [{ path: parent, allow: Allow.makeDirectories }];
  }
}
