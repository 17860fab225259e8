import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { apt, type DebianPackage } from "./apt.js";
import { inRoot } from "./chroot.js";
import type { Part } from "./part.js";
import { checkout, inVm } from "./paths.js";
import { lastLines, runChecked } from "./process.js";
import { withProgress } from "./progress.js";
import { writeProgram } from "./qemu.js";
import { toolchains } from "./toolchain.js";
import { VmUnavailable } from "./unavailable.js";
import { onlyEntry, unpackPackages } from "./unpack.js";

export const umlProgram = inVm("bin", "linux.uml");

const umlTree = "/usr/src/uml";
/** Where modules for UML's kernel are built against, inside bookworm's root. */
export const umlBuildTree = `${umlTree}/build`;

/** A program of `.vm/bin/` that starts the user-mode-linux in `.vm/NAME/`; the shim is Debian's part's. */
export const umlScript = (name: string, about: string): string => `#!/bin/sh
# ${about}: a Linux kernel that is an ordinary program.
vm=$(readlink -f "$(dirname "$(readlink -f "$0")")/..")
export LD_PRELOAD="$vm/uml/xstate.so"
exec "$vm/${name}/linux.uml" "$@"
`;

const script = umlScript("uml", "Debian's user-mode-linux");

const shimSource = join(checkout, "vm/uml-xstate.c");

/** Of a source of 1.3 GB: paths and patterns of what olddefconfig and modules_prepare read. */
const neededSource = [
  ...["Makefile", "Kbuild", "scripts", "include", "arch/um", "arch/x86", "certs"],
  ...["security/selinux/include", "kernel/bounds.c", "kernel/time/timeconst.bc"],
  ...["*/Kconfig*", "Kconfig"],
];

/** user-mode-linux is built from one version of linux-source-6.1, often not the newest one in the suites. */
async function planSource(): Promise<DebianPackage[]> {
  const source = apt("bookworm");
  const usedSource = await source.field("user-mode-linux", "Built-Using");
  const version = /\blinux \(= ([^)]+)\)/.exec(usedSource ?? "")?.[1];
  if (version === undefined) {
    throw new VmUnavailable(
      "not-in-mirror",
      `the package user-mode-linux doesn't say what it was built from (Built-Using: ${usedSource ?? "none"})`,
    );
  }
  const plan = await source.plan([`linux-source-6.1=${version}`]);
  return plan.filter(({ name }) => name === "linux-source-6.1");
}

/** Runs a step of a making inside the root. */
export async function makeStep(
  root: string,
  label: string,
  command: readonly string[],
): Promise<void> {
  const result = await withProgress(label, () => inRoot(root, command));
  if (result.status !== 0) throw new Error(`${label} failed:\n${lastLines(result.output)}`);
}

/**
 * Makes `tree` inside the root anew: `source` with the named parts of the source that Debian's user-mode-linux was
 * built from, and an empty `build`.
 */
export async function unpackUmlSource(
  root: string,
  tree: string,
  wanted: readonly string[],
): Promise<void> {
  const outside = join(root, tree);
  rmSync(outside, { recursive: true, force: true });
  for (const name of ["source", "build"]) mkdirSync(join(outside, name), { recursive: true });
  const archive = join(outside, "package");
  await unpackPackages(apt("bookworm"), await planSource(), archive, {
    label: "user-mode-linux's source",
  });
  const packed = basename(onlyEntry(join(archive, "usr/src"), /^linux-source-.*\.tar\.xz$/));
  await makeStep(root, "Unpacking the part of Linux's source that is needed", [
    ...["tar", "-xJf", `${tree}/package/usr/src/${packed}`],
    ...["-C", `${tree}/source`, "--strip-components=1", "--wildcards"],
    ...wanted.map((path) => `${packed.replace(".tar.xz", "")}/${path}`),
  ]);
  rmSync(archive, { recursive: true });
}

async function makeBuildTree(root: string, config: string): Promise<void> {
  await unpackUmlSource(root, umlTree, neededSource);
  writeFileSync(join(root, umlBuildTree, ".config"), config);
  await makeStep(root, "Preparing modules for user-mode-linux", [
    ...["make", "-j2", "-C", `${umlTree}/source`, "ARCH=um", `O=${umlBuildTree}`],
    ...["olddefconfig", "modules_prepare"],
  ]);
}

async function compileShim(root: string, output: string): Promise<void> {
  const [source, object] = ["build/uml-xstate.c", "build/uml-xstate.so"] as const;
  cpSync(shimSource, join(root, source));
  const flags = ["-shared", "-fPIC", "-O2", "-Wall", "-Werror"];
  const result = await inRoot(root, ["gcc", ...flags, "-o", `/${object}`, `/${source}`]);
  if (result.status !== 0) throw new Error(`gcc failed on ${shimSource}:\n${result.output}`);
  renameSync(join(root, object), output);
}

export const umlPart: Part = {
  label: "user-mode-linux",
  directory: inVm("uml"),
  recipe: `4 ${script} ${neededSource.join(" ")} ${readFileSync(shimSource, "utf8")}`,
  needs: [toolchains.bookworm],
  spaceBytes: 900e6,
  async make(temporary) {
    const source = apt("bookworm");
    const plan = await source.plan(["user-mode-linux"]);
    const unpacked = join(temporary, "unpacked");
    mkdirSync(unpacked);
    await unpackPackages(
      source,
      plan.filter(({ name }) => name === "user-mode-linux"),
      unpacked,
      {
        label: "user-mode-linux",
        leave: ["*/kernel/drivers", "*/kernel/net", "*/kernel/sound", "*/kernel/fs/[!p]*"],
      },
    );
    cpSync(join(unpacked, "usr/bin/linux.uml"), join(temporary, "linux.uml"));
    const modules = onlyEntry(join(unpacked, "usr/lib/uml/modules"), /\d/);
    cpSync(modules, join(temporary, "modules"), { recursive: true });
    rmSync(unpacked, { recursive: true });
    const config = await runChecked(join(temporary, "linux.uml"), ["--showconfig"]);
    await makeBuildTree(toolchains.bookworm.directory, config);
    await compileShim(toolchains.bookworm.directory, join(temporary, "xstate.so"));
    writeProgram(umlProgram, script);
  },
};

export const umlCompressors = ["deflate", "lz4", "lz4hc", "lzo", "842", "zstd", "none"] as const;
export type UmlCompressor = (typeof umlCompressors)[number];

/** The modules that make pstore work in the guest, in order of loading: the compressor, its libraries, pstore. */
export function umlModules(compressor: UmlCompressor): { path: string; parameters?: string }[] {
  const directory = join(umlPart.directory, "modules");
  const dependencies = new Map<string, string[]>();
  for (const line of readFileSync(join(directory, "modules.dep"), "utf8").split("\n")) {
    const [file = "", others = ""] = line.split(":");
    dependencies.set(file, others.split(" ").filter(Boolean));
  }
  const wanted: string[] = [];
  const add = (file: string): void => {
    if (wanted.includes(file)) return;
    for (const other of dependencies.get(file) ?? []) add(other);
    wanted.push(file);
  };
  if (compressor !== "none") add(`kernel/crypto/${compressor}.ko`);
  add("kernel/fs/pstore/pstore.ko");
  return wanted
    .map((file) => ({ path: join(directory, file) }))
    .filter(({ path }) => existsSync(path))
    .map((module) =>
      basename(module.path) === "pstore.ko"
        ? { ...module, parameters: `compress=${compressor}` }
        : module,
    );
}
