import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** What a build of a module leaves in its folder: no input, and different each time. */
export const builtFiles = /\.(o|ko|mod|mod\.c|cmd|order|symvers)$|^\.tmp_|^modules\.|^Module\./;

/** The paths of what a module is built from. */
export function sourceFiles(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !builtFiles.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** Names these files with their content, and whatever else decides what is made of them. */
export function contentHash(files: readonly string[], ...others: readonly string[]): string {
  const hash = createHash("sha256");
  for (const file of files) hash.update(file).update("\0").update(readFileSync(file)).update("\0");
  hash.update(JSON.stringify(others));
  return hash.digest("hex").slice(0, 24);
}
