import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packageFolder } from "./package-folder.js";

interface Package {
  readonly version: string;
}

/** The package's version. */
export const version: string = (
  JSON.parse(readFileSync(join(packageFolder(), "package.json"), "utf8")) as Package
).version;
