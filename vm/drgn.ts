import { execFileSync } from "node:child_process";
import { apt } from "./apt.js";
import type { Part } from "./part.js";
import { inVm } from "./paths.js";
import { onlyEntry, unpackPackages } from "./unpack.js";

const root = inVm("drgn");

/** drgn of Debian 13, with the Python and the libraries it needs. */
export const drgnPart: Part = {
  label: "drgn",
  directory: root,
  recipe: "1",
  needs: [],
  spaceBytes: 200e6,
  async make(temporary) {
    const packages = await apt("trixie").plan(["python3-drgn"]);
    await unpackPackages(apt("trixie"), packages, temporary, { label: "drgn" });
  },
};

/** Runs a script that has `prog`, of a core and its vmlinux; throws where it fails. */
export function drgn(core: string, vmlinux: string, script: string): string {
  const libraries = `${root}/usr/lib/x86_64-linux-gnu`;
  return execFileSync(
    `${libraries}/ld-linux-x86-64.so.2`,
    [
      ...["--library-path", libraries, onlyEntry(`${root}/usr/bin`, /^python3\.[0-9]+$/)],
      ...["-m", "drgn", "--quiet", "-c", core, "-s", vmlinux, script],
    ],
    {
      encoding: "utf8",
      env: {
        ...{ PYTHONHOME: `${root}/usr`, PYTHONPATH: `${root}/usr/lib/python3/dist-packages` },
        ...{ PYTHONDONTWRITEBYTECODE: "1", HOME: root },
      },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
}
