import { join } from "node:path";
import { apt } from "./apt.js";
import type { Part } from "./part.js";
import { inVm } from "./paths.js";
import { unpackPackages } from "./unpack.js";

const directory = inVm("sparse");

/** The kernel's checker of annotations: byte order, address spaces, locks. It runs in bookworm's root. */
export const sparse = {
  part: {
    label: "sparse",
    directory,
    recipe: "1",
    needs: [],
    spaceBytes: 10e6,
    async make(temporary) {
      const source = apt("bookworm");
      const plan = await source.plan(["sparse"]);
      const wanted = plan.filter(({ name }) => name === "sparse");
      await unpackPackages(source, wanted, temporary, { label: "sparse" });
    },
  } satisfies Part,
  program: join(directory, "usr/bin/sparse"),
};
