import type { RecordTypeName } from "../../records/index.js";
import type { Dropped, RefusedError } from "../../store/index.js";
import type { LogEvent } from "../../virtio/vhost-user/index.js";

interface Count {
  number: number;
  bytes: number;
}

/** Tells what a guest's store drops and refuses, each time with how much it is since the start. */
export class StoreLog {
  readonly #log: (event: LogEvent) => void;
  readonly #counts = new Map<string, Count>();
  #refused = { times: 0, bytes: 0 };

  constructor(log: (event: LogEvent) => void) {
    this.#log = log;
  }

  dropped({ type, paths, bytes }: Dropped): void {
    const all = this.#count(`dropped ${type}`, paths.length, bytes);
    const [first = "", last = first] = [paths[0], paths.at(-1)];
    const files = paths.length === 1 ? first : `${first} to ${last} (${paths.length} files)`;
    this.#log({
      level: "warn",
      code: "DROPPED",
      message:
        `dropped ${files}, ${bytes} bytes: the quota for ${type} is used up; ` +
        `since the start ${all.number} files, ${all.bytes} bytes`,
      details: { type, files: paths.length, bytes, allFiles: all.number, allBytes: all.bytes },
    });
  }

  refused(type: RecordTypeName, bytes: number, { refusal, detail, code }: RefusedError): void {
    const all = this.#count(`refused ${refusal} ${type}`, 1, bytes);
    this.#refused = { times: this.#refused.times + 1, bytes: this.#refused.bytes + bytes };
    this.#log({
      level: "warn",
      code: refusal,
      message:
        `refused ${bytes} bytes of ${type} (${code}): ${detail}; ` +
        `since the start ${all.number} times, ${all.bytes} bytes`,
      details: { type, bytes, allTimes: all.number, allBytes: all.bytes },
    });
  }

  /** What was refused since the start, of all types and for all reasons. */
  get refusedSince(): { readonly times: number; readonly bytes: number } {
    return this.#refused;
  }

  #count(what: string, number: number, bytes: number): Count {
    const all = this.#counts.get(what) ?? { number: 0, bytes: 0 };
    all.number += number;
    all.bytes += bytes;
    this.#counts.set(what, all);
    return all;
  }
}
