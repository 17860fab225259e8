import { createHash, randomUUID } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { withLock } from "./lock.js";
import { inVm } from "./paths.js";
import { megabytes } from "./progress.js";
import { VmUnavailable } from "./unavailable.js";

/** Something below `.vm/` that is there as a whole or not at all. */
export interface Part {
  readonly label: string;
  /** Its folder. */
  readonly directory: string;
  /** Whatever decides what is made: a change here makes the part anew. */
  readonly recipe: string;
  /** Made first; when one of them is made anew, so is this. */
  readonly needs: readonly Part[];
  /** Free space asked for before anything is downloaded. */
  readonly spaceBytes: number;
  /** Fills an empty folder, which is renamed to `directory` afterwards. */
  make(temporary: string): Promise<void>;
}

interface Stamp {
  readonly recipe: string;
  /** Differs for each time it was made. */
  readonly id: string;
}

function readStamp(part: Part): Stamp | undefined {
  let text: string;
  try {
    text = readFileSync(join(part.directory, ".stamp"), "utf8");
  } catch {
    return undefined;
  }
  const [recipe, id] = text.split("\n");
  return recipe === undefined || id === undefined ? undefined : { recipe, id };
}

function wantedRecipe(part: Part): string {
  const needs = part.needs.map((need) => readStamp(need)?.id ?? "none");
  return createHash("sha256")
    .update(JSON.stringify([part.recipe, needs]))
    .digest("hex");
}

function isReady(part: Part): boolean {
  return part.needs.every(isReady) && readStamp(part)?.recipe === wantedRecipe(part);
}

/** Names this making of a part, for caches of what is built with it. Only for a part that is ready. */
export function identity(part: Part): string {
  return readStamp(part)?.id ?? "none";
}

/** Makes a part and what it needs, unless they are there. An interrupted making is repaired by the next call. */
export async function ensure(part: Part): Promise<void> {
  if (isReady(part)) return;
  await withLock(() => make(part));
}

async function make(part: Part): Promise<void> {
  for (const need of part.needs) await make(need);
  if (isReady(part)) return;
  mkdirSync(inVm(), { recursive: true });
  const { bavail, bsize } = statfsSync(inVm());
  if (bavail * bsize < part.spaceBytes) {
    throw new VmUnavailable(
      "no-space",
      `${part.label} needs ${megabytes(part.spaceBytes)} in ${inVm()}, ${megabytes(bavail * bsize)} are free: make room`,
    );
  }
  dropLeftovers(part);
  // A name of its own for each process: what a killed one had started may still be writing into the old folder.
  const temporary = `${part.directory}.making-${process.pid}`;
  mkdirSync(temporary, { recursive: true });
  await part.make(temporary);
  writeFileSync(join(temporary, ".stamp"), `${wantedRecipe(part)}\n${randomUUID()}\n`);
  if (existsSync(part.directory)) rmSync(part.directory, { recursive: true });
  renameSync(temporary, part.directory);
}

function dropLeftovers(part: Part): void {
  const parent = dirname(part.directory);
  mkdirSync(parent, { recursive: true });
  for (const name of readdirSync(parent)) {
    if (!name.startsWith(`${basename(part.directory)}.making`)) continue;
    rmSync(join(parent, name), { recursive: true, force: true, maxRetries: 3 });
  }
}
