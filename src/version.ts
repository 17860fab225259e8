import { readFileSync } from "node:fs";

interface Package {
  readonly version: string;
}

const file = new URL("../../package.json", import.meta.url);

/** The package's version. */
export const version = (JSON.parse(readFileSync(file, "utf8")) as Package).version;
