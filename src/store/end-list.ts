import { END_KINDS, formatEnd, type GuestEnd, MAX_ENDS_BYTES, parseEnd } from "./guest-end.js";
import { LineFile, type LineFileHost } from "./line-file.js";

/** Of each kind: a guest that is its own front-end may connect without end. */
const MOST_OF_A_KIND = 100;
/** The file is made anew when it has so many lines. */
const MOST_LINES = 1000;

/** `.ends`: how the guest's front-ends went away, one a line, oldest first (see guest-end.ts). */
export class EndList {
  readonly #file: LineFile;
  #ends: GuestEnd[];

  /** Throws the system call's error. */
  constructor(host: LineFileHost, path: string) {
    this.#file = new LineFile(host, path);
    this.#ends = this.#file.load(MAX_ENDS_BYTES).flatMap((line) => parseEnd(line) ?? []);
  }

  get last(): GuestEnd | undefined {
    return this.#ends.at(-1);
  }

  /** Throws the system call's error; then it isn't in the list. */
  add(end: GuestEnd): void {
    if (this.#ends.length >= MOST_LINES) this.#prune();
    this.#file.add(formatEnd(end));
    this.#ends.push(end);
  }

  takeDirty(): number[] {
    return this.#file.takeDirty();
  }

  /** The descriptors, for the caller to close. */
  end(): number[] {
    return this.#file.end();
  }

  #prune(): void {
    const kept = new Set(
      END_KINDS.flatMap((kind) =>
        this.#ends.filter((end) => end.kind === kind).slice(-MOST_OF_A_KIND),
      ),
    );
    const ends = this.#ends.filter((end) => kept.has(end));
    this.#file.replace(ends.map(formatEnd));
    this.#ends = ends;
  }
}
