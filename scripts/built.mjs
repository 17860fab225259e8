// Whether dist/ is of the sources that are there: for bootstrap.mjs, and for vitest before tests that run dist/.
// Plain JavaScript without packages.
import { existsSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const FOLDERS = ["src", "vm", "bench", "test", "docs"];
const FILES = ["tsconfig.json", "package-lock.json", "scripts/bundle.mjs"];

/** Written when all of dist/ is made. */
export const stamp = join(root, "dist", ".built");

/** When a file was written last, in milliseconds since 1970; 0 where there is none. */
export const modified = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);

const sourcesIn = (folder) =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(folder, name));

export function isBuilt() {
  const folders = FOLDERS.map((name) => join(root, name)).filter((folder) => existsSync(folder));
  const inputs = [...FILES.map((name) => join(root, name)), ...folders.flatMap(sourcesIn)];
  return modified(stamp) >= Math.max(...inputs.map(modified));
}

/** For vitest: ends a run that would test what was there before. */
export default function setup() {
  if (!isBuilt()) throw new Error("dist/ is older than the sources: run `npm run build` first");
}
