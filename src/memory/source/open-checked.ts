import { type BigIntStats, constants, fstatSync, openSync } from "node:fs";
import { closeDescriptor, openPlace } from "../../os/index.js";

/**
 * Opens the regular file at a path that another process may change, for reading: what was looked at is what is opened,
 * and nothing is waited for, as a FIFO in its place would have us. Undefined where it isn't wanted, or no regular file.
 */
export function openChecked(
  path: string,
  isWanted: (status: BigIntStats) => boolean,
): number | undefined {
  const place = openPlace(path);
  try {
    const status = fstatSync(place, { bigint: true });
    if (!isWanted(status) || !status.isFile()) return undefined;
    return openSync(`/proc/self/fd/${place}`, constants.O_RDONLY);
  } finally {
    closeDescriptor(place);
  }
}
