import { rmSync } from "node:fs";
import { DirectoryStore, type Quotas } from "../../src/store/index.js";
import { fastFolder } from "./good-guest.js";

const room = { records: 4, bytes: 1 << 18 };

/** Full soon: a store's refusals are to be seen, too. */
const QUOTAS: Quotas = { dmesg: room, ftrace: room, console: room, pmsg: room };

/** Inputs after which the store is empty again. */
const RENEW_INPUTS = 500;

/** The directory of a guest that misbehaves. It is made anew from time to time. */
export class HostileStore {
  #directory = "";
  #store: DirectoryStore | undefined;
  #used = 0;
  #count = 0;

  /** The store, for one input. */
  get(): DirectoryStore {
    if (this.#used++ % RENEW_INPUTS === 0) this.close();
    this.#store ??= this.#open();
    return this.#store;
  }

  close(): void {
    this.#store?.close();
    this.#store = undefined;
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #open(): DirectoryStore {
    this.#directory = fastFolder();
    const onErase = this.#count++ % 2 === 0 ? "keep" : "remove";
    return new DirectoryStore(this.#directory, { quotas: QUOTAS, onErase });
  }
}
