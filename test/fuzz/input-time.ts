import { expect } from "./target.js";

/** A lie costs about a second; on a machine that is slower, less than that. */
const MAX_INPUT_MS = 2000;

/**
 * Counts what an input takes of this process's own time at a processor: on a busy machine it may take any time. Throws
 * Broken where that is too much.
 */
export class InputTimes {
  readonly #mostMs: number;
  #slowestMs = 0;

  constructor(mostMs = MAX_INPUT_MS) {
    this.#mostMs = mostMs;
  }

  /** What the slowest input took. */
  get slowestMs(): number {
    return this.#slowestMs;
  }

  run(input: () => string): string {
    const before = process.cpuUsage();
    const outcome = input();
    const { user, system } = process.cpuUsage(before);
    const ms = (user + system) / 1000;
    this.#slowestMs = Math.max(this.#slowestMs, ms);
    expect(ms <= this.#mostMs, `it takes ${Math.round(ms)} ms of a processor`);
    return outcome;
  }
}
