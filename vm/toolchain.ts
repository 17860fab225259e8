import { apt, type Release } from "./apt.js";
import { finishRoot, requireRoot } from "./chroot.js";
import type { Part } from "./part.js";
import { inVm } from "./paths.js";
import { unpackPackages } from "./unpack.js";

const tools = [
  ...["dash", "bash", "coreutils", "sed", "grep", "mawk", "findutils", "diffutils", "debianutils"],
  ...["tar", "cpio", "gzip", "xz-utils", "zstd", "lz4", "bzip2", "hostname", "kmod"],
  // iasl, which reads the ACPI table that src/formats/erst builds.
  "acpica-tools",
  ...["gcc", "make", "bc", "flex", "bison", "perl", "libelf-dev", "libssl-dev", "libc6-dev"],
];

/**
 * A Debian with a compiler in a folder, used through chroot. Each kernel wants the release it was built in: its
 * kbuild tools are programs of that release, and a module is to be compiled as the kernel was.
 */
function toolchain(release: Release, compiler: readonly string[]): Part {
  return {
    label: `the compiler of Debian ${release}`,
    directory: inVm(release),
    recipe: `2 ${[...tools, ...compiler].join(" ")}`,
    needs: [],
    spaceBytes: 900e6,
    async make(temporary) {
      requireRoot();
      const source = apt(release);
      const packages = await source.plan([...tools, ...compiler]);
      await unpackPackages(source, packages, temporary, {
        label: `the compiler of Debian ${release}`,
      });
      await finishRoot(temporary);
    },
  };
}

export const toolchains: Readonly<Record<Release, Part>> = {
  bookworm: toolchain("bookworm", ["gcc-12"]),
  trixie: toolchain("trixie", ["gcc-14", "pahole"]),
};
