/** How long a daemon that was told to end waits for its disks. */
export const STOP_MS = 5000;

/**
 * Ends this process at once, as the signal does where nobody listens to it: a shell sees 128 and its
 * number. Not exit(): that would wait for the thread that waits for the disk.
 */
export function endBySignal(name: NodeJS.Signals): void {
  process.removeAllListeners(name);
  process.kill(process.pid, name);
}

/** timeout(1) sends its signal to the process and to its group: two so close together are one. */
const SAME_SIGNAL_MS = 200;

/** @returns what ends the listening. */
export function onSignals(
  names: readonly NodeJS.Signals[],
  handle: (name: NodeJS.Signals) => void,
): () => void {
  let last = Number.NEGATIVE_INFINITY;
  const listen = (name: NodeJS.Signals): void => {
    const now = performance.now();
    if (now - last < SAME_SIGNAL_MS) return;
    last = now;
    handle(name);
  };
  for (const name of names) process.on(name, listen);
  return () => {
    for (const name of names) process.removeListener(name, listen);
  };
}
