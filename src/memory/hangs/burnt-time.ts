/**
 * How much of the host's CPU time a vCPU took since a value last changed. A paused guest and one that the host doesn't
 * run take none, so that neither looks like one that hangs.
 */
export class BurntTime {
  #value: bigint | undefined;
  #since: bigint | undefined;

  /** In nanoseconds. `time` is what the vCPU took so far; of what isn't known, nothing is said: 0. */
  look(value: bigint | undefined, time: bigint | undefined): bigint {
    if (value === undefined || time === undefined) {
      this.#value = undefined;
      return 0n;
    }
    if (value !== this.#value || this.#since === undefined || time < this.#since) {
      this.#value = value;
      this.#since = time;
    }
    return time - this.#since;
  }
}
