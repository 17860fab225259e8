import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

/** The package's folder, which holds package.json: above this file, whether that is bundled or not. */
export function packageFolder(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}
