/** Record ids that mean none: "unspecified", and the end of a walk (ACPI 6.5, 18.5.1.1). */
export const UNSPECIFIED_ID = 0n;
export const END_ID = 0xffff_ffff_ffff_ffffn;

/** Whether an id is none, as in the map where a slot is free. */
export const isNoId = (id: bigint): boolean => id === UNSPECIFIED_ID || id === END_ID;

/** Where the port device keeps a guest's records, by their ids: an ERST file or a store's directory. */
export interface ErstRecords {
  /** Of all records, in the order in which they were written first. */
  ids(): readonly bigint[];
  /** A record's bytes; undefined where there is none of this id. Throws the system call's error. */
  read(id: bigint): Uint8Array | undefined;
  /**
   * Keeps a record, in place of one of the same id; it is durable on return. Throws the system call's
   * error, ENOSPC where there is no room, and leaves nothing of the record then.
   */
  write(id: bigint, record: Uint8Array): void;
  /** Removes a record, for good on return; false where there is none of this id. */
  clear(id: bigint): boolean;
}
