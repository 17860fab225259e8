import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import type { ElfFile } from "./elf-file.js";

/** What reads DWARF: it gets addresses on stdin, and prints what addr2line prints. */
export interface DwarfProgram {
  readonly path: string;
  readonly arguments: readonly string[];
}

/** e_machine, and how the GNU tools for it are called that don't run on it. */
const GNU_PREFIX = new Map([
  [62, "x86_64-linux-gnu-"],
  [183, "aarch64-linux-gnu-"],
]);

/**
 * The program for a file, or for a section of a module; undefined where $PATH has none. llvm-symbolizer is fast and reads
 * every architecture, but can't tell the sections of a module apart, which all begin at 0. addr2line reads the host's,
 * and other architectures' where it was built for them.
 */
export function findDwarfProgram(file: ElfFile, section: string): DwarfProgram | undefined {
  const addr2line = [gnuName(GNU_PREFIX.get(file.machine) ?? ""), "addr2line"];
  // With -a each answer begins with its address.
  const gnu = ["-a", "-f", "-i", "-C", "-e", file.path];
  if (file.isRelocatable) return onPath(addr2line, [...gnu, "-j", section]);
  const llvm = ["-a", "-f", "-i", "-C", "--output-style=GNU", `--obj=${file.path}`];
  return onPath(["llvm-symbolizer"], llvm) ?? onPath(addr2line, gnu);
}

/** Whether $PATH has any program that reads DWARF. */
export const hasDwarfProgram = (): boolean =>
  onPath(["llvm-symbolizer", "addr2line", ...[...GNU_PREFIX.values()].map(gnuName)], []) !==
  undefined;

const gnuName = (prefix: string): string => `${prefix}addr2line`;

function onPath(names: readonly string[], args: readonly string[]): DwarfProgram | undefined {
  for (const name of names) {
    for (const folder of (process.env.PATH ?? "").split(":")) {
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        return { path, arguments: args };
      } catch {
        // Not in this folder.
      }
    }
  }
  return undefined;
}
