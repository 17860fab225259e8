import { apt } from "./apt.js";
import type { Part } from "./part.js";
import { inVm } from "./paths.js";
import { unpackPackages } from "./unpack.js";

const root = inVm("makedumpfile");

/** makedumpfile of Debian 13, with the libraries it needs. */
export const makedumpfilePart: Part = {
  label: "makedumpfile",
  directory: root,
  recipe: "1",
  needs: [],
  spaceBytes: 50e6,
  async make(temporary) {
    const packages = await apt("trixie").plan(["makedumpfile"]);
    await unpackPackages(apt("trixie"), packages, temporary, { label: "makedumpfile" });
  },
};

/** The argv that runs it. */
export function makedumpfile(...args: readonly string[]): string[] {
  const libraries = `${root}/usr/lib/x86_64-linux-gnu`;
  return [
    `${libraries}/ld-linux-x86-64.so.2`,
    ...["--library-path", libraries, `${root}/usr/bin/makedumpfile`, ...args],
  ];
}
