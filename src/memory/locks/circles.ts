/**
 * The circles in who waits for whom: each waits for one at most. A circle is told once, and begins with the one of
 * it that comes first in `waits`.
 */
export function circles<T>(waits: ReadonlyMap<T, T>): T[][] {
  const found: T[][] = [];
  const done = new Set<T>();
  for (const start of waits.keys()) {
    const path: T[] = [];
    const at = new Map<T, number>();
    let next: T | undefined = start;
    while (next !== undefined && !done.has(next)) {
      done.add(next);
      at.set(next, path.length);
      path.push(next);
      next = waits.get(next);
    }
    const begin = next === undefined ? undefined : at.get(next);
    if (begin !== undefined) found.push(path.slice(begin));
  }
  return found;
}
