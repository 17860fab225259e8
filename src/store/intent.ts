/**
 * Where a request's effect is written down before it takes place, so that whoever comes after a process
 * that died can tell whether it did.
 */
export interface Intent {
  /**
   * A record's file, which has this inode, is about to get the name that goes with `id`. `mayBeLast`: of the log,
   * and not of an oops for all that is known: the guest may end behind it.
   */
  dump(id: bigint, inode: number, mayBeLast: boolean): void;
  /** `bytes` are about to be appended to the file of the stream `id`, which has `before`. */
  append(id: bigint, before: number, bytes: number): void;
}

/** The files of the current boot's streams, beyond the end of this process. */
export interface BootStreams {
  /** The file that a stream is at: its record's id; undefined where it has none. */
  get(type: "console" | "pmsg"): { readonly id: bigint; readonly inode: number } | undefined;
  /** A file with this inode is the stream's, or about to be, under the name that goes with `id`. */
  set(type: "console" | "pmsg", id: bigint, inode: number): void;
  /** Bytes that the guest sent since the last ones that are in the stream. */
  missing(type: "console" | "pmsg"): number;
  setMissing(type: "console" | "pmsg", bytes: number): void;
}
