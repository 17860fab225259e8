import { BOOT_ID_BYTES, CONFIG, CONFIG_BYTES, CONFIG_MAGIC } from "./wire.js";

/** What the device says in its configuration space. */
export interface ConfigValues {
  readonly bufsize: number;
  readonly flags: number;
  readonly types: number;
  readonly maxData: number;
}

const WRITABLE = [
  { start: CONFIG.bufsize, end: CONFIG.bufsize + 4 },
  { start: CONFIG.boot_id, end: CONFIG.boot_id + BOOT_ID_BYTES },
];

/**
 * The configuration space, always as a driver with F_EXTENDED sees it: a VMM reads as much of it as it
 * was told that there is, and a driver writes to it before its features are known here.
 */
export class ConfigSpace {
  readonly #values: ConfigValues;
  readonly #space = Buffer.alloc(CONFIG_BYTES);

  constructor(values: ConfigValues) {
    this.#values = values;
    this.reset();
  }

  reset(): void {
    const { bufsize, flags, types, maxData } = this.#values;
    this.#space.fill(0);
    this.#space.writeUInt32LE(bufsize, CONFIG.bufsize);
    this.#space.writeUInt32LE(flags, CONFIG.flags);
    this.#space.writeUInt32LE(types, CONFIG.types);
    this.#space.writeUInt32LE(maxData, CONFIG.max_data);
    this.#space.writeBigUInt64LE(CONFIG_MAGIC, CONFIG.magic);
  }

  read(): Uint8Array {
    return Buffer.from(this.#space);
  }

  /** The driver wrote `bytes` at `offset`, any part of the space: what is read-only stays. */
  write(offset: number, bytes: Uint8Array): void {
    for (const { start, end } of WRITABLE) {
      const from = Math.max(start, offset);
      const to = Math.min(end, offset + bytes.length);
      if (from < to) this.#space.set(bytes.subarray(from - offset, to - offset), from);
    }
  }

  /** The guest's boot as 32 hexadecimal digits; undefined where the driver didn't tell. */
  get bootId(): string | undefined {
    const id = this.#space.subarray(CONFIG.boot_id, CONFIG.boot_id + BOOT_ID_BYTES);
    return id.every((byte) => byte === 0) ? undefined : id.toString("hex");
  }
}
