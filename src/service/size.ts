const UNITS: Readonly<Record<string, number>> = { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

/** Parses a size in bytes such as 16384, 16K, 1M or 2G; undefined where it is none. */
export function parseSize(text: string): number | undefined {
  const match = /^([0-9]{1,12})(?:([KMG])(?:i?B)?)?$/i.exec(text);
  if (match === null) return undefined;
  const unit = UNITS[(match[2] ?? "").toUpperCase()];
  const size = Number(match[1]) * (unit ?? 1);
  return Number.isSafeInteger(size) ? size : undefined;
}

/** A size for people: 5.3K, 16K, 1M. */
export function formatSize(bytes: number): string {
  let value = bytes;
  for (const unit of ["", "K", "M"]) {
    if (value < 1024) return `${Number(value.toFixed(value < 10 && unit !== "" ? 1 : 0))}${unit}`;
    value /= 1024;
  }
  return `${Number(value.toFixed(1))}G`;
}
