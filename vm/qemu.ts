import { chmodSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { apt } from "./apt.js";
import type { Part } from "./part.js";
import { inVm } from "./paths.js";
import { unpackPackages } from "./unpack.js";

/** Where the program is, as one that behaves like any other qemu-system-x86_64. */
export const qemuProgram = inVm("bin", "qemu-system-x86_64");

// The script finds its files from its own place, so that the checkout may be moved.
const script = `#!/bin/sh
# QEMU from Debian's trixie-backports, started with the libraries it was built for.
root=$(dirname "$(readlink -f "$0")")/../qemu
export QEMU_MODULE_DIR="$root/usr/lib/x86_64-linux-gnu/qemu"
exec "$root/usr/lib64/ld-linux-x86-64.so.2" --argv0 "$0" \\
  --library-path "$root/usr/lib/x86_64-linux-gnu" "$root/usr/bin/qemu-system-x86_64" \\
  -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" -L "$root/usr/lib/ipxe/qemu" "$@"
`;

/** Writes a program of `.vm/bin/` so that nobody ever sees half of it. */
export function writeProgram(path: string, text: string): void {
  mkdirSync(inVm("bin"), { recursive: true });
  writeFileSync(`${path}.making`, text);
  chmodSync(`${path}.making`, 0o755);
  renameSync(`${path}.making`, path);
}

export const qemuPart: Part = {
  label: "QEMU",
  directory: inVm("qemu"),
  recipe: `1 ${script}`,
  needs: [],
  spaceBytes: 500e6,
  async make(temporary) {
    // 11.1 is the first with vhost-user-test-device-pci; trixie's own 10.0 lacks it.
    const packages = await apt("trixie").plan(["qemu-system-x86"], "trixie-backports");
    await unpackPackages(apt("trixie"), packages, temporary, { label: "QEMU" });
    writeProgram(qemuProgram, script);
  },
};
