import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Found by looking upwards, because this file runs as dist/vm/paths.js and, under vitest, as vm/paths.ts. */
function findCheckout(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, "package-lock.json"))) {
    const parent = dirname(directory);
    if (parent === directory) throw new Error("vm/ must be run from a checkout of virtio-pstore");
    directory = parent;
  }
  return directory;
}

export const checkout = findCheckout();

/** Everything that is downloaded or built for guests lies below `.vm/`; removing it undoes all of it. */
export function inVm(...parts: readonly string[]): string {
  return join(checkout, ".vm", ...parts);
}
