import { readdirSync, readFileSync } from "node:fs";

/** Every process below `pid`, found by parents: user-mode-linux leaves its process group, so that is no help. */
function descendants(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "latin1");
      // The name in parentheses may hold spaces and parentheses itself.
      const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch {
      // it ended meanwhile
    }
  }
  const found: number[] = [];
  const waiting = [pid];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const below = children.get(next) ?? [];
    found.push(...below);
    waiting.push(...below);
  }
  return found;
}

/**
 * Ends a process that was started here and everything it started. SIGKILL at once, as a wedged user-mode-linux
 * ignores SIGTERM. The parent goes first, so that it can't start anything further.
 */
export function killTree(pid: number): void {
  const below = descendants(pid);
  for (const one of [pid, ...below]) {
    try {
      process.kill(one, "SIGKILL");
    } catch {
      // it ended meanwhile
    }
  }
}
