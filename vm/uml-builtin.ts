import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inRoot } from "./chroot.js";
import type { Part } from "./part.js";
import { checkout, inVm } from "./paths.js";
import { lastLines, runChecked } from "./process.js";
import { withProgress } from "./progress.js";
import { writeProgram } from "./qemu.js";
import { contentHash, sourceFiles } from "./source-files.js";
import { toolchains } from "./toolchain.js";
import { umlScript } from "./uml.js";
import { umlPstoreBuildTree, umlPstorePart, umlPstoreSource } from "./uml-pstore.js";

export const umlBuiltinProgram = inVm("bin", "linux.uml-builtin");

const script = umlScript("uml-builtin", "A user-mode-linux with the guest's driver built in");

const guest = join(checkout, "guest");

/**
 * The kernel of uml-pstore.ts with the driver =y in its tree, where guest/into-tree puts it. Everything else was
 * compiled already: a copy of that build compiles the driver and is linked again.
 */
export const umlBuiltinPart: Part = {
  label: "user-mode-linux with the driver built in",
  directory: inVm("uml-builtin"),
  recipe: `1 ${script} ${contentHash(sourceFiles(guest))}`,
  needs: [umlPstorePart],
  spaceBytes: 200e6,
  async make(temporary) {
    const root = toolchains.bookworm.directory;
    const build = `${umlPstoreBuildTree}-builtin`;
    rmSync(join(root, build), { recursive: true, force: true });
    // With their times, by which make knows what is up to date.
    await runChecked("cp", ["-a", join(root, umlPstoreBuildTree), join(root, build)]);
    await runChecked(join(guest, "into-tree"), [join(root, umlPstoreSource)]);
    const config = join(root, build, ".config");
    writeFileSync(config, `${readFileSync(config, "utf8")}CONFIG_VIRTIO_PSTORE=y\n`);
    const make = ["make", "-j2", "-C", umlPstoreSource, "ARCH=um", `O=${build}`];
    const { status, output } = await withProgress("Building the driver into user-mode-linux", () =>
      inRoot(root, ["nice", ...make, "olddefconfig", "linux"]),
    );
    // The linker warns of this kernel's own layout.
    const complaint = /pstore\/\w+\.[ch]:.*warning|^WARNING: modpost/;
    const bad = output.split("\n").filter((line) => complaint.test(line));
    if (status !== 0 || bad.length > 0) {
      throw new Error(`the driver can't be built in:\n${bad.join("\n") || lastLines(output, 40)}`);
    }
    cpSync(join(root, build, "linux"), join(temporary, "linux.uml"));
    writeProgram(umlBuiltinProgram, script);
  },
};
