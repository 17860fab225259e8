import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, join } from "node:path";
import type { Apt, DebianPackage } from "./apt.js";
import { runChecked } from "./process.js";
import { withProgress } from "./progress.js";

/** Not needed to run or build anything, and a third of the files. */
const left = ["doc", "doc-base", "man", "locale", "info", "lintian", "bug", "gdb", "icons"];

/** bookworm's packages still carry files below /lib, which has to lead to /usr/lib before they are unpacked. */
export function makeUsrMerge(root: string): void {
  for (const name of ["bin", "sbin", "lib", "lib64"]) {
    mkdirSync(join(root, "usr", name), { recursive: true });
    if (!existsSync(join(root, name))) symlinkSync(`usr/${name}`, join(root, name));
  }
}

async function unpackOne(file: string, root: string, leave: readonly string[]): Promise<void> {
  const excluded = [...left.map((name) => `./usr/share/${name}`), ...leave].map(
    (pattern) => `--exclude=${pattern}`,
  );
  // bash, not sh: a broken package must not end as a quietly shortened one.
  await runChecked("bash", [
    ...["-o", "pipefail", "-c"],
    'deb=$1; shift; dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink --no-same-owner "$@"',
    ...["unpack", file, "-C", root, ...excluded],
  ]);
}

export interface UnpackOptions {
  /** For progress lines. */
  readonly label: string;
  /** tar's patterns of files that aren't wanted. */
  readonly leave?: readonly string[];
}

/** Downloads packages and unpacks them into `root`; no maintainer script runs, and the .deb files don't stay. */
export async function unpackPackages(
  source: Apt,
  packages: readonly DebianPackage[],
  root: string,
  options: UnpackOptions,
): Promise<void> {
  const debs = join(root, ".debs");
  rmSync(debs, { recursive: true, force: true });
  const files = await source.download(packages, debs, options.label);
  makeUsrMerge(root);
  const waiting = [...files];
  await withProgress(
    `Unpacking ${options.label}`,
    async () => {
      const worker = async (): Promise<void> => {
        for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
          await unpackOne(file, root, options.leave ?? []);
          rmSync(file);
        }
      };
      await Promise.all(Array.from({ length: availableParallelism() }, worker));
    },
    () => `${files.length - waiting.length} of ${files.length} packages`,
  );
  rmSync(debs, { recursive: true, force: true });
}

/** The only entry of `directory` whose name matches: where a package's version is part of a path. */
export function onlyEntry(directory: string, pattern: RegExp): string {
  const found = readdirSync(directory).filter((name) => pattern.test(name));
  const [name] = found;
  if (name === undefined || found.length > 1) {
    throw new Error(
      `expected one ${pattern} in ${basename(directory)}, found ${found.join(", ") || "none"}`,
    );
  }
  return join(directory, name);
}
