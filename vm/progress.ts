/** Quick work stays silent: a line for something that is over before it is read is noise. */
const silentMs = 2000;
const repeatMs = 5000;

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/**
 * Runs `work` and, when it takes longer than two seconds, says so on stderr, then now and again how far it is.
 * `measure` gives that as text ("12 of 38 MB").
 */
export async function withProgress<T>(
  label: string,
  work: () => Promise<T>,
  measure?: () => string,
): Promise<T> {
  const started = performance.now();
  const line = (): void => {
    const far = measure?.() ?? `${Math.round((performance.now() - started) / 1000)} s`;
    say(`${label}: ${far}`);
  };
  let repeating: NodeJS.Timeout | undefined;
  const first = setTimeout(() => {
    line();
    repeating = setInterval(line, repeatMs);
  }, silentMs);
  try {
    return await work();
  } finally {
    clearTimeout(first);
    clearInterval(repeating);
    const seconds = (performance.now() - started) / 1000;
    if (repeating !== undefined) say(`${label}: ${seconds.toFixed(0)} s in all`);
  }
}

/** Bytes as whole megabytes: all that a progress line needs. */
export function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6)} MB`;
}
