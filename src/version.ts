import { existsSync, readFileSync } from "node:fs";

interface Package {
  readonly version: string;
}

/** This is src/version.ts where tests run it, and dist/src/version.js otherwise. */
const places = ["../package.json", "../../package.json"];
const file = places.map((place) => new URL(place, import.meta.url)).find(existsSync);

/** The package's version. */
export const version =
  file === undefined ? "unknown" : (JSON.parse(readFileSync(file, "utf8")) as Package).version;
