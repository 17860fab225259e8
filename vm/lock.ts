import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { inVm } from "./paths.js";
import { withProgress } from "./progress.js";
import { VmUnavailable } from "./unavailable.js";

const waitMs = 15 * 60_000;

/** Within one process, callers queue here; between processes, `.vm/lock` names the holder. */
let queue: Promise<unknown> = Promise.resolve();

/** Runs `work` while no other process changes `.vm/`. Not re-entrant. */
export function withLock<T>(work: () => Promise<T>): Promise<T> {
  const next = queue.then(async () => {
    const path = inVm("lock");
    mkdirSync(inVm(), { recursive: true });
    if (!tryLock(path)) await waitForLock(path);
    try {
      return await work();
    } finally {
      rmSync(path, { force: true });
    }
  });
  queue = next.catch(() => undefined);
  return next;
}

function tryLock(path: string): boolean {
  try {
    writeFileSync(path, `${process.pid}`, { flag: "wx" });
    return true;
  } catch (error) {
    if (!(error instanceof Error) || !("code" in error) || error.code !== "EEXIST") throw error;
  }
  if (holderLives(path)) return false;
  rmSync(path, { force: true });
  return tryLock(path);
}

/** A holder that was killed leaves its file behind, and its number may have gone to some other program. */
function holderLives(path: string): boolean {
  try {
    const pid = Number(readFileSync(path, "utf8"));
    if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return false;
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("node");
  } catch {
    return false;
  }
}

async function waitForLock(path: string): Promise<void> {
  const until = Date.now() + waitMs;
  await withProgress("Waiting for another process that prepares guests", async () => {
    while (!tryLock(path)) {
      if (Date.now() > until) {
        throw new VmUnavailable(
          "broken",
          `${path} has been held for ${waitMs / 60_000} minutes: end its process or remove it`,
        );
      }
      await sleep(200);
    }
  });
}
