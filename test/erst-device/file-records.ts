import type { ErstFile } from "../../src/formats/erst/erst-file.js";

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

/** A port device's records in an ERST file: QEMU's own device goes on where this one ended. */
export class FileRecords implements ErstRecords {
  readonly #file: ErstFile;

  /** The file is open for writing, and nobody else uses it. */
  constructor(file: ErstFile) {
    this.#file = file;
  }

  ids(): readonly bigint[] {
    const header = this.#file.header();
    return header === undefined ? [] : [...this.#file.ids(header).values()];
  }

  read(id: bigint): Uint8Array | undefined {
    const slot = this.#file.slots().find((found) => found.id === id && found.record !== undefined);
    return slot?.record && this.#file.read(slot, 0, slot.record.length);
  }

  write(_id: bigint, record: Uint8Array): void {
    this.#file.write(record);
  }

  clear(id: bigint): boolean {
    const header = this.#file.header();
    if (header === undefined) return false;
    const [index] = [...this.#file.ids(header)].find(([, found]) => found === id) ?? [];
    if (index === undefined) return false;
    this.#file.clear([{ index, id }]);
    return true;
  }
}
