import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Part } from "./part.js";
import { checkout, inVm } from "./paths.js";
import { writeProgram } from "./qemu.js";
import { toolchains } from "./toolchain.js";
import { makeStep, umlPart, umlScript, unpackUmlSource } from "./uml.js";

export const umlPstoreProgram = inVm("bin", "linux.uml-pstore");

const tree = "/usr/src/uml-pstore";
/** Inside bookworm's root: the part of the kernel's source that is needed, */
export const umlPstoreSource = `${tree}/source`;
/** and where it is built, and modules for it are built against. */
export const umlPstoreBuildTree = `${tree}/build`;

const script = umlScript("uml-pstore", "A user-mode-linux with all of pstore");

const configFile = join(checkout, "vm/uml-pstore.config");

/** Of the source, what this configuration compiles; Makefiles are read in folders of which nothing is compiled, too. */
const neededSource = [
  ...["Makefile", "Kbuild", "Kconfig", "*/Kconfig*", "*/Makefile*", "*/Kbuild"],
  ...["scripts", "include", "arch/um", "arch/x86", "block", "certs", "crypto", "fs", "init"],
  ...["io_uring", "ipc", "kernel", "lib", "mm", "security", "usr"],
  ...["drivers/base", "drivers/char", "drivers/tty", "drivers/virtio"],
];

/** kconfig drops without a word what depends on something that is off. */
function checkConfig(wanted: string, made: string): void {
  const lines = new Set(made.split("\n"));
  const dropped = wanted
    .split("\n")
    .filter((line) => line.startsWith("CONFIG_") && !lines.has(line));
  if (dropped.length > 0) throw new Error(`${configFile}: not to be had: ${dropped.join(", ")}`);
}

/**
 * The kernel that Debian doesn't have: with pstore's own console and pmsg, and all of its compressors built in. The
 * same version as Debian's user-mode-linux, and as small as it can be: it is compiled here.
 */
export const umlPstorePart: Part = {
  label: "user-mode-linux with all of pstore",
  directory: inVm("uml-pstore"),
  recipe: `1 ${script} ${neededSource.join(" ")} ${readFileSync(configFile, "utf8")}`,
  needs: [umlPart],
  spaceBytes: 700e6,
  async make(temporary) {
    const root = toolchains.bookworm.directory;
    const config = readFileSync(configFile, "utf8");
    await unpackUmlSource(root, tree, neededSource);
    cpSync(configFile, join(root, tree, "wanted.config"));
    const make = [
      ...["nice", "make", "-j2", "-C", umlPstoreSource],
      ...["ARCH=um", `O=${umlPstoreBuildTree}`],
    ];
    await makeStep(root, "Configuring user-mode-linux with all of pstore", [
      ...make,
      ...[`KCONFIG_ALLCONFIG=${tree}/wanted.config`, "allnoconfig"],
    ]);
    checkConfig(config, readFileSync(join(root, umlPstoreBuildTree, ".config"), "utf8"));
    await makeStep(root, "Compiling user-mode-linux with all of pstore", [
      ...make,
      ...["linux", "modules"],
    ]);
    cpSync(join(root, umlPstoreBuildTree, "linux"), join(temporary, "linux.uml"));
    writeProgram(umlPstoreProgram, script);
  },
};
