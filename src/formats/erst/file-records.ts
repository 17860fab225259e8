import type { ErstFile } from "./erst-file.js";
import type { ErstRecords } from "./records.js";

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
