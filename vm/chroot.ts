import { chmodSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type RunResult, run, runChecked } from "./process.js";
import { VmUnavailable } from "./unavailable.js";

export function requireRoot(): void {
  if (process.getuid?.() !== 0) {
    throw new VmUnavailable(
      "not-root",
      "building for guests needs root (chroot into an unpacked Debian): run as root",
    );
  }
}

/** Makes what the packages' maintainer scripts would have made, as far as builds need it. */
export async function finishRoot(root: string): Promise<void> {
  const links: readonly (readonly [string, string])[] = [
    ["usr/bin/sh", "dash"],
    ["usr/bin/awk", "mawk"],
    ["usr/bin/which", "which.debianutils"],
  ];
  for (const [path, target] of links) {
    if (!existsSync(join(root, path))) symlinkSync(target, join(root, path));
  }
  for (const directory of ["dev", "proc", "etc", "root", "build"]) {
    mkdirSync(join(root, directory), { recursive: true });
  }
  mkdirSync(join(root, "tmp"), { recursive: true });
  chmodSync(join(root, "tmp"), 0o1777);
  // There is no /proc inside, as mounting one takes privileges that a container's root lacks. objtool looks there for
  // its own stack, to say so when it overflows it; it ends at once when it can't read that.
  mkdirSync(join(root, "proc/self"), { recursive: true });
  writeFileSync(
    join(root, "proc/self/maps"),
    "7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0                          [stack]\n",
  );
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  writeFileSync(join(root, "etc/group"), "root:x:0:\n");
  for (const [name, minor] of [
    ["null", "3"],
    ["zero", "5"],
    ["urandom", "9"],
  ] as const) {
    const device = join(root, "dev", name);
    if (!existsSync(device)) await runChecked("mknod", ["-m", "666", device, "c", "1", minor]);
  }
}

export interface ChrootOptions {
  /** As seen inside. */
  readonly cwd?: string;
}

/** Runs a program inside an unpacked Debian, with nothing of the caller's environment. */
export function inRoot(
  root: string,
  command: readonly string[],
  options: ChrootOptions = {},
): Promise<RunResult> {
  requireRoot();
  return run(
    "chroot",
    [
      ...[root, "/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin", "HOME=/root", "LC_ALL=C"],
      ...["/bin/sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", options.cwd ?? "/"],
      ...command,
    ],
    {
      env: { ...process.env, PATH: `${process.env.PATH ?? ""}:/usr/sbin:/sbin` },
    },
  );
}
