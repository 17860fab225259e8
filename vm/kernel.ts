import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { apt, type DebianPackage, type Release } from "./apt.js";
import { findPayload, hasPvhEntry, type Payload } from "./bzimage.js";
import { inRoot } from "./chroot.js";
import type { Part } from "./part.js";
import { inVm } from "./paths.js";
import { toolchains } from "./toolchain.js";
import { onlyEntry, unpackPackages } from "./unpack.js";

/**
 * The kernels that guests run under QEMU, by the series found when this was written; the versions come from the
 * suites. "7.3" is whatever trixie-backports has: its real version is in `release`.
 */
export const kernelNames = ["6.1", "6.12", "7.3"] as const;
export type KernelName = (typeof kernelNames)[number];

interface Origin {
  readonly release: Release;
  readonly suite?: string;
  /** Modules that are taken beside virtio's, by name. */
  readonly modules?: readonly string[];
}

/** What the benchmark of a panic loads: other ways for a guest's text to leave it. */
const consoleModules = ["virtio_console", "vmxnet3", "configfs", "netconsole"];

/** The driver of the device that docs/library.md makes. */
const entropyModule = "virtio-rng";

const origins: Readonly<Record<KernelName, Origin>> = {
  "6.1": { release: "bookworm", modules: [...consoleModules, entropyModule] },
  "6.12": { release: "trixie" },
  "7.3": { release: "trixie", suite: "trixie-backports" },
};

/** The image is one package up to 6.x, and one of several later. */
const isImage = ({ name }: DebianPackage): boolean => /^linux-(image|binary)-.*\d/.test(name);
const isHeaders = ({ name }: DebianPackage): boolean =>
  /^linux-(headers|kbuild|compiler)-/.test(name);

async function decompress(root: string, { data, command }: Payload): Promise<Buffer> {
  // The compiler's root has every decompressor; the host may have none.
  const name = `build/unpacking-${process.pid}`;
  const inside = join(root, name);
  try {
    writeFileSync(`${inside}.packed`, data);
    const shell = `${command.join(" ")} < /${name}.packed > /${name}`;
    const result = await inRoot(root, ["/bin/sh", "-c", shell]);
    if (result.status !== 0) throw new Error(`unpacking a kernel failed: ${result.output}`);
    return readFileSync(inside);
  } finally {
    rmSync(`${inside}.packed`, { force: true });
    rmSync(inside, { force: true });
  }
}

/** Debian's 6.1 has virtio as modules, also in the cloud flavour; later ones have it built in. In order of loading. */
const virtioModules = [
  "virtio_ring",
  "virtio",
  "virtio_pci_legacy_dev",
  "virtio_pci_modern_dev",
  "virtio_pci",
];

async function takeModules(
  names: readonly string[],
  unpacked: string,
  temporary: string,
  root: string,
): Promise<void> {
  const from = join(onlyEntry(join(unpacked, "lib/modules"), /\d/), "kernel");
  // Where the kernel needs none, its modules may be in a package that isn't unpacked.
  const paths = existsSync(from) ? readdirSync(from, { recursive: true, encoding: "utf8" }) : [];
  const to = join(temporary, "modules");
  mkdirSync(to);
  for (const name of names) {
    const path = paths.find((path) => [`${name}.ko`, `${name}.ko.xz`].includes(basename(path)));
    if (path === undefined) continue;
    const file = join(from, path);
    if (path.endsWith(".ko")) renameSync(file, join(to, `${name}.ko`));
    else {
      const packed = { data: readFileSync(file), command: ["xz", "-dc"] } as const;
      writeFileSync(join(to, `${name}.ko`), await decompress(root, packed));
    }
  }
}

async function makeKernel(
  label: string,
  temporary: string,
  { release, suite, modules = [] }: Origin,
  toolchain: Part,
): Promise<void> {
  const source = apt(release);
  const plan = await source.plan(["linux-image-cloud-amd64", "linux-headers-cloud-amd64"], suite);
  const unpacked = join(temporary, "unpacked");
  mkdirSync(unpacked);
  await unpackPackages(source, plan.filter(isImage), unpacked, {
    label,
    leave: ["System.map*", "*/kernel/[!dfn]*", "*/kernel/drivers/[!cnv]*"],
  });
  await takeModules([...virtioModules, ...modules], unpacked, temporary, toolchain.directory);
  const old = join(unpacked, "boot");
  const image = existsSync(old)
    ? onlyEntry(old, /^vmlinuz-/)
    : join(onlyEntry(join(unpacked, "usr/lib/modules"), /\d/), "vmlinuz");
  renameSync(image, join(temporary, "bzImage"));
  rmSync(unpacked, { recursive: true });

  // Image and headers come from one plan: a module fits only the kernel of exactly its version.
  const headers = plan.filter(isHeaders);
  const [ours] = headers.flatMap(
    ({ name }) => /^linux-headers-(\d.*cloud-amd64)$/.exec(name)?.[1] ?? [],
  );
  if (ours === undefined) throw new Error(`no headers among ${plan.map((p) => p.name).join(", ")}`);
  await unpackPackages(source, headers, toolchain.directory, { label: `headers of ${label}` });
  writeFileSync(join(temporary, "release"), `${ours}\n`);

  const packed = findPayload(readFileSync(join(temporary, "bzImage")));
  const vmlinux = await decompress(toolchain.directory, packed);
  if (hasPvhEntry(vmlinux)) writeFileSync(join(temporary, "vmlinux"), vmlinux);
}

function kernelPart(name: KernelName): Part {
  const origin = origins[name];
  const toolchain = toolchains[origin.release];
  return {
    label: `Linux ${name}`,
    directory: inVm("kernels", name),
    recipe: `2 ${JSON.stringify(origin)}`,
    needs: [toolchain],
    spaceBytes: 500e6,
    make: (temporary) => makeKernel(`Linux ${name}`, temporary, origin, toolchain),
  };
}

export const kernelParts: Readonly<Record<KernelName, Part>> = {
  "6.1": kernelPart("6.1"),
  "6.12": kernelPart("6.12"),
  "7.3": kernelPart("7.3"),
};

export interface Kernel {
  readonly name: KernelName;
  /** As `uname -r` says it. */
  readonly release: string;
  /** For QEMU's -kernel: the uncompressed kernel where it has a PVH entry, else the bzImage. */
  readonly image: string;
  readonly bzImage: string;
  /** Paths of the modules a guest loads first, so that virtio devices are found. */
  readonly modules: readonly string[];
  /** Where further modules are, that the kernel was prepared with: `NAME.ko`. */
  readonly moduleDirectory: string;
  /** The Debian its modules are built in, and where its headers are inside. */
  readonly root: string;
  readonly headers: string;
}

/** A kernel that has been prepared. */
export function kernel(name: KernelName): Kernel {
  const { directory } = kernelParts[name];
  const release = readFileSync(join(directory, "release"), "utf8").trim();
  const vmlinux = join(directory, "vmlinux");
  const bzImage = join(directory, "bzImage");
  return {
    name,
    release,
    image: existsSync(vmlinux) ? vmlinux : bzImage,
    bzImage,
    modules: virtioModules
      .map((module) => join(directory, "modules", `${module}.ko`))
      .filter((path) => existsSync(path)),
    moduleDirectory: join(directory, "modules"),
    root: toolchains[origins[name].release].directory,
    headers: `/usr/src/linux-headers-${release}`,
  };
}
