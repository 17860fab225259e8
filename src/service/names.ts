import type { RecordEntry } from "../records/index.js";
import { UserError } from "./errors.js";

/** As `list --records` tells it. */
export const fullName = ({ guest, name }: Pick<RecordEntry, "guest" | "name">): string =>
  guest === "" ? name : `${guest}/${name}`;

/** So many of the things that have a name are told. */
const MOST_TOLD = 5;

/** What has which names: a name without a guest can be several guests'. */
export class Names<T> {
  readonly #fullName: (one: T) => string;
  readonly #named = new Map<string, T[]>();

  constructor(
    all: readonly T[],
    fullName: (one: T) => string,
    names: (one: T) => readonly string[],
  ) {
    this.#fullName = fullName;
    for (const one of all) {
      for (const name of new Set([fullName(one), ...names(one)])) {
        const there = this.#named.get(name);
        if (there === undefined) this.#named.set(name, [one]);
        else there.push(one);
      }
    }
  }

  /** What has the name in full, or else alone; undefined where nothing has it. UserError where several have. */
  only(name: string): T | undefined {
    const found = this.#named.get(name) ?? [];
    const exact = found.find((one) => this.#fullName(one) === name);
    if (exact !== undefined || found.length < 2) return exact ?? found[0];
    const told = found.slice(0, MOST_TOLD).map(this.#fullName);
    const others = found.length - told.length;
    const all = others === 0 ? told : [...told, others === 1 ? "1 other" : `${others} others`];
    throw new UserError(`${name} could be ${all.join(" or ")}: say which`);
  }
}
