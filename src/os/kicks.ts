import { fstatSync } from "node:fs";
import { drain } from "./eventfd.js";
import type { Share } from "./share.js";

/**
 * Calls `onKick` whenever the front-end signals through `fd`, which may be an eventfd or a pipe. A pipe has to be
 * emptied. An eventfd needn't be, and one with EFD_SEMAPHORE couldn't: a read takes 1 of what may be 2^64 - 2.
 */
export function watchKicks(loop: Share, fd: number, onKick: () => void): void {
  const found = fstatSync(fd);
  if (!found.isFIFO() && !found.isSocket()) {
    loop.watch(fd, onKick, "edge");
    return;
  }
  loop.watch(fd, () => {
    if (!drain(fd)) loop.unwatch(fd);
    onKick();
  });
}
