/** Of `count` places in ascending order the first that is `isBehind` something; `count` where none is. */
export function firstPlace(count: number, isBehind: (place: number) => boolean): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBehind(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
