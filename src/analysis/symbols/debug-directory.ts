import { type Dirent, existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { SymbolsError } from "./errors.js";

/** Where the files that hold a kernel's and its modules' symbols are. */
export interface DebugFiles {
  readonly vmlinux: string | undefined;
  /** By the module's name, most promising first. */
  readonly modules: ReadonlyMap<string, readonly string[]>;
}

/** `foo-bar.ko` and `foo-bar.ko.debug`. */
const MODULE = /^([\w-]{1,64})\.ko(?:\.debug)?$/;

/** Why a directory below isn't looked at: it is gone at this moment, or not for us. */
const NOT_THERE = ["ENOENT", "ENOTDIR", "EACCES", "ELOOP"];

function* filesBelow(directory: string): Generator<Dirent, void, void> {
  const left = [directory];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    for (const entry of entriesOf(next, next === directory)) {
      if (entry.isDirectory()) left.push(join(next, entry.name));
      else yield entry;
    }
  }
}

function entriesOf(directory: string, isNeeded: boolean): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (isNeeded || !NOT_THERE.includes(code)) throw error;
    return [];
  }
}

/** Looks through a directory and all below it, as /usr/lib/debug/lib/modules/RELEASE, or a kernel's build tree. */
export function findDebugFiles(directory: string): DebugFiles {
  const modules = new Map<string, string[]>();
  for (const entry of filesBelow(directory)) {
    const name = MODULE.exec(entry.name)?.[1]?.replaceAll("-", "_");
    if (name === undefined) continue;
    const path = join(entry.parentPath, entry.name);
    const known = modules.get(name);
    if (known === undefined) modules.set(name, [path]);
    // Beside a stripped module lies the file with what was taken out of it.
    else if (path.endsWith(".debug")) known.unshift(path);
    else known.push(path);
  }
  const vmlinux = ["vmlinux", "vmlinux.debug"]
    .map((name) => join(directory, name))
    .find((path) => existsSync(path));
  if (vmlinux === undefined && modules.size === 0) {
    throw new SymbolsError(
      `${directory} holds neither vmlinux nor modules (NAME.ko, NAME.ko.debug)`,
    );
  }
  return { vmlinux, modules };
}
