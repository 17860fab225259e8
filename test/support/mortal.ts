import { readdirSync } from "node:fs";
import { closeDescriptor } from "../../src/os/index.js";
import { libc } from "../../src/os/libc.js";

class Died extends Error {}

/** How many steps are left; undefined while nobody counts. */
let left: number | undefined;

function step(): void {
  if (left === undefined) return;
  // A dead process does nothing any more, whatever it would have done to end well.
  if (left <= 0) throw new Died();
  left--;
}

type Call = (...args: never[]) => unknown;

function stepping(call: Call): Call {
  return (...args) => {
    step();
    return call(...args);
  };
}

const calls = libc as unknown as Record<string, Call>;
for (const [name, call] of Object.entries(calls)) calls[name] = stepping(call);
Atomics.store = stepping(Atomics.store as Call) as typeof Atomics.store;

const openDescriptors = (): number[] => readdirSync("/proc/self/fd").map(Number);

/**
 * Runs `life` in this process as another one would that is killed before its n-th step, a system call of
 * src/os or an atomic store: what it has in memory is lost then, and so are its descriptors, all but `others`'. Returns how
 * many steps it did not need; undefined where it was killed.
 */
export function runMortal(
  steps: number,
  others: readonly number[],
  life: () => void,
): number | undefined {
  left = steps;
  try {
    life();
    return left;
  } catch (error) {
    left = undefined;
    if (!(error instanceof Died)) throw error;
    const kept = new Set(others);
    for (const fd of openDescriptors()) if (!kept.has(fd)) closeDescriptor(fd);
    return undefined;
  } finally {
    left = undefined;
  }
}

/** For `others`, before there is anything that a mortal process has. */
export const descriptorsNow = openDescriptors;
