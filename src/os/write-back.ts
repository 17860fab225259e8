import { libc } from "./libc.js";

const SYNC_FILE_RANGE_WRITE = 2;

/**
 * Has the disk begin with what was written to a file, so that it works meanwhile and fsync(2) has less to wait for.
 * Where that can't be had, fsync does all of it.
 */
export function beginWriteBack(fd: number): void {
  // To the file's end.
  libc.sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}
