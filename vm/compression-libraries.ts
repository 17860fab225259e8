import { join } from "node:path";
import { apt } from "./apt.js";
import type { Part } from "./part.js";
import { inVm } from "./paths.js";
import { unpackPackages } from "./unpack.js";

const packages = ["liblz4-dev", "liblzo2-dev", "libzstd-dev"];

const directory = inVm("compression-libraries");

/** The reference libraries of what pstore compresses with, to be linked to; our decoders are compared with them. */
export const compressionLibraries = {
  part: {
    label: "libraries that compress",
    directory,
    recipe: `1 ${packages.join(" ")}`,
    needs: [],
    spaceBytes: 20e6,
    async make(temporary) {
      const source = apt("bookworm");
      const plan = await source.plan(packages);
      const wanted = plan.filter(({ name }) => packages.includes(name));
      await unpackPackages(source, wanted, temporary, { label: "libraries that compress" });
    },
  } satisfies Part,
  includes: join(directory, "usr/include"),
  archives: join(directory, "usr/lib/x86_64-linux-gnu"),
};
