import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** The package's folder, which holds package.json: above this file, whether that is bundled or not. */
export const packageFolder: string = folderAbove(import.meta.dirname);

function folderAbove(folder: string): string {
  return existsSync(join(folder, "package.json")) ? folder : folderAbove(dirname(folder));
}

interface Package {
  readonly version: string;
}

/** The package's version. */
export const version: string = (
  JSON.parse(readFileSync(join(packageFolder, "package.json"), "utf8")) as Package
).version;
