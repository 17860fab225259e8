import { existsSync, readdirSync } from "node:fs";
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

/** Looks through a directory and all below it, as /usr/lib/debug/lib/modules/RELEASE, or a kernel's build tree. */
export function findDebugFiles(directory: string): DebugFiles {
  const modules = new Map<string, string[]>();
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const name = MODULE.exec(entry.name)?.[1]?.replaceAll("-", "_");
    if (name === undefined || entry.isDirectory()) continue;
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
