import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { inRoot } from "./chroot.js";
import { type KernelName, kernel, kernelParts } from "./kernel.js";
import { ensure, identity, type Part } from "./part.js";
import { checkout, inVm } from "./paths.js";
import { lastLines } from "./process.js";
import { withProgress } from "./progress.js";
import { builtFiles, contentHash, sourceFiles } from "./source-files.js";
import { toolchains } from "./toolchain.js";
import { umlBuildTree, umlPart } from "./uml.js";
import { umlPstoreBuildTree, umlPstorePart } from "./uml-pstore.js";

/** "uml" is Debian's user-mode-linux; "uml-pstore" has pstore's console, pmsg and every compressor. */
export const umlNames = ["uml", "uml-pstore"] as const;
export type UmlName = (typeof umlNames)[number];

export type Target = KernelName | UmlName;

export interface DriverModule {
  readonly target: Target;
  /** The module, ready for insmod. */
  readonly path: string;
  /** What make printed; empty when the module came from the cache. */
  readonly log: string;
}

/** What is built in a kernel's way, wherever its source is. */
export interface ModuleSource {
  readonly directory: string;
  /** Without .ko. */
  readonly module: string;
  /** make's variables, as `CONFIG_VIRTIO_PSTORE_TRACE=n`. */
  readonly variables?: readonly string[];
}

export const driverSource: ModuleSource = {
  directory: join(checkout, "guest"),
  module: "virtio_pstore",
};

/** Lines in a build's output that make it a failure although make says it went well. */
function complaints(log: string, target: Target): string[] {
  return log.split("\n").filter((line) => {
    if (!/\bwarning\b/i.test(line)) return false;
    // There is no Module.symvers of UML's kernel, so modpost knows none of its symbols. What else modpost might
    // complain about shows on the other kernels.
    if (target === "uml" && /^WARNING: (modpost: |Module\.symvers)/.test(line)) return false;
    return !/the compiler differs from the one used to build the kernel/.test(line);
  });
}

/** A kernel, and where modules for it are built. */
interface BuildPlace {
  readonly part: Part;
  readonly root: () => string;
  readonly makeArguments: () => readonly string[];
}

export function placeOf(target: Target): BuildPlace {
  if (target === "uml") {
    return {
      part: umlPart,
      root: () => toolchains.bookworm.directory,
      makeArguments: () => ["-C", umlBuildTree, "ARCH=um", "KBUILD_MODPOST_WARN=1"],
    };
  }
  if (target === "uml-pstore") {
    return {
      part: umlPstorePart,
      root: () => toolchains.bookworm.directory,
      makeArguments: () => ["-C", umlPstoreBuildTree, "ARCH=um"],
    };
  }
  return {
    part: kernelParts[target],
    root: () => kernel(target).root,
    makeArguments: () => ["-C", kernel(target).headers],
  };
}

/** Two callers that ask for the same module at once share one build. */
const running = new Map<string, Promise<DriverModule>>();

/**
 * Builds the guest's driver for a kernel, or finds it built from the same source. Any warning of the compiler or
 * of modpost is an error, so that the driver stays clean on every kernel.
 */
export async function buildDriver(
  target: Target,
  source: ModuleSource = driverSource,
): Promise<DriverModule> {
  const place = placeOf(target);
  await ensure(place.part);
  const hash = contentHash(
    sourceFiles(source.directory),
    ...["1", source.module, identity(place.part), ...(source.variables ?? [])],
  );
  const key = `${target}-${hash}`;
  const path = inVm("modules", key, `${source.module}.ko`);
  if (existsSync(path)) return { target, path, log: "" };
  let build = running.get(key);
  if (build === undefined) {
    build = withProgress(`Building ${source.module} for ${target}`, () =>
      buildModule(target, source, place, path),
    ).finally(() => running.delete(key));
    running.set(key, build);
  }
  return build;
}

async function buildModule(
  target: Target,
  source: ModuleSource,
  place: BuildPlace,
  path: string,
): Promise<DriverModule> {
  const inside = `/build/${basename(dirname(path))}-${process.pid}`;
  const copy = join(place.root(), inside);
  try {
    rmSync(copy, { recursive: true, force: true });
    cpSync(source.directory, copy, {
      recursive: true,
      filter: (file) => !builtFiles.test(basename(file)),
    });
    const result = await inRoot(place.root(), [
      ...["make", "-j2", ...place.makeArguments(), `M=${inside}`],
      ...[...(source.variables ?? []), "modules"],
    ]);
    const bad = complaints(result.output, target);
    if (result.status !== 0 || bad.length > 0) {
      const why = result.status === 0 ? bad.join("\n") : lastLines(result.output, 40);
      throw new Error(`${source.module} doesn't build cleanly for ${target}:\n${why}`);
    }
    publish(join(copy, `${source.module}.ko`), path);
    return { target, path, log: result.output };
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

/** Renamed as a folder of its own, so that a path that exists is whole. */
function publish(file: string, path: string): void {
  const temporary = `${dirname(path)}.${process.pid}`;
  mkdirSync(temporary, { recursive: true });
  cpSync(file, join(temporary, basename(path)));
  if (existsSync(dirname(path))) rmSync(temporary, { recursive: true });
  else renameSync(temporary, dirname(path));
}

/**
 * Compiles one C file with bookworm's gcc into a program that runs on the host: statically linked, because the
 * host's C library may be older. `includes` are folders whose headers are copied and put on the include path.
 */
export async function compileC(
  source: string,
  output: string,
  flags: readonly string[] = [],
  includes: readonly string[] = [],
): Promise<void> {
  const toolchain = toolchains.bookworm;
  await ensure(toolchain);
  const inside = `/build/c-${process.pid}-${createHash("sha256").update(output).digest("hex").slice(0, 12)}`;
  const copy = join(toolchain.directory, inside);
  try {
    rmSync(copy, { recursive: true, force: true });
    mkdirSync(copy, { recursive: true });
    cpSync(source, join(copy, basename(source)));
    includes.forEach((directory, index) => {
      cpSync(directory, join(copy, `include${index}`), { recursive: true });
    });
    const paths = includes.map((_, index) => `-I${inside}/include${index}`);
    const result = await inRoot(
      toolchain.directory,
      ["gcc", "-static", "-O2", "-Wall", ...paths, "-o", "program", basename(source), ...flags],
      { cwd: inside },
    );
    if (result.status !== 0)
      throw new Error(`gcc failed on ${source}:\n${lastLines(result.output, 40)}`);
    mkdirSync(dirname(output), { recursive: true });
    const temporary = `${output}.${process.pid}`;
    cpSync(join(copy, "program"), temporary);
    renameSync(temporary, output);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}
