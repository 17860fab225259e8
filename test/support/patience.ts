import { setTimeout as sleep } from "node:timers/promises";

/**
 * Who waits for something that has to come gives up after so long, and says what didn't come. It says nothing of
 * how long that takes: on a busy machine a step of a millisecond can take seconds.
 */
export const PATIENCE_MS = 300_000;

/** A whole test waits for several things. */
export const TEST_PATIENCE_MS = 6 * PATIENCE_MS;

/** CI's tests: more inputs, and each place to be killed at, where everybody else's take some of them. */
export const LONG = process.env.LONG === "1";

const LOOK_MS = 5;

/** Looks until `condition` holds; throws `what` where it never does. `pump` is what happens between two looks. */
export async function until(
  condition: () => boolean,
  what: () => string,
  pump: () => unknown = () => sleep(LOOK_MS),
): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(what());
    await pump();
  }
}
