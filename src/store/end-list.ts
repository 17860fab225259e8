import {
  formatEnd,
  type GuestEnd,
  MAX_ENDS_BYTES,
  newestEnds,
  parseEnd,
} from "../records/guest-end.js";
import { LineFile, type LineFileHost } from "./line-file.js";

/** The file is made anew when it has so many lines. */
const MOST_LINES = 1000;

/** `.ends`: how the guest's front-ends went away, one a line, oldest first (see guest-end.ts). */
export class EndList extends LineFile {
  #ends: GuestEnd[];

  /** Throws the system call's error. */
  constructor(host: LineFileHost, path: string) {
    super(host, path);
    this.#ends = this.load(MAX_ENDS_BYTES).flatMap((line) => parseEnd(line) ?? []);
  }

  get last(): GuestEnd | undefined {
    return this.#ends.at(-1);
  }

  /** Throws the system call's error; then it isn't in the list. */
  add(end: GuestEnd): void {
    // Its owner removes the file to have the ends forgotten.
    if (this.leaveRemoved()) this.#ends = [];
    if (this.#ends.length >= MOST_LINES) this.#prune();
    this.append(formatEnd(end));
    this.#ends.push(end);
  }

  #prune(): void {
    const ends = newestEnds(this.#ends);
    this.replace(ends.map(formatEnd), "later");
    this.#ends = ends;
  }
}
