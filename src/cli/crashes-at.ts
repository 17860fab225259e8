import {
  type Crash,
  type CrashFacts,
  CrashReader,
  erstFileOf,
  findCrashes,
  type HeadedRecord,
  type Related,
  relations,
} from "../report/index.js";
import { type CrashFilter, isGuest, isWanted } from "./crash-filter.js";
import { errorLine, UserError, warn } from "./errors.js";
import { Progress } from "./progress.js";
import { recordsAt } from "./records-at.js";

/** The crashes at a path that a command was asked for, and what else is recorded there. */
export class CrashesAt {
  readonly path: string;
  /** Of the guests that are asked for. */
  readonly records: readonly HeadedRecord[];
  /** Oldest first. */
  readonly crashes: readonly Crash[];
  readonly #reader: CrashReader;
  readonly #progress = new Progress("crashes");
  #related: ((crash: Crash) => Related) | undefined;

  /** With another's reader, what that has read before isn't read again. */
  constructor(path: string, filter: CrashFilter = {}, reader = newReader()) {
    this.path = path;
    this.#reader = reader;
    this.records = recordsAt(path)
      .files.filter((record) => isGuest(record, filter))
      .map((record) => this.#reader.headed(record));
    this.crashes = findCrashes(this.records).filter((crash) =>
      isWanted(crash, filter, (one) => this.facts(one)),
    );
  }

  facts(crash: Crash): CrashFacts {
    this.#progress.step();
    return this.#reader.facts(crash);
  }

  related(crash: Crash): Related {
    this.#related ??= relations(this.records);
    return this.#related(crash);
  }

  /** For the end: keeps what was read for the next time. */
  close(): void {
    this.#progress.end();
    this.#reader.save();
  }

  /** The one that is named, or else the newest. */
  chosen(name: string | undefined): Crash {
    if (name !== undefined) return this.named(name);
    const newest = this.crashes.at(-1);
    if (newest === undefined) throw new UserError(`${this.path} holds no crash that fits`);
    return newest;
  }

  /** By its name, without the guest where that is clear, by its id alone, or by a record's name. */
  named(name: string): Crash {
    const found = this.crashes.filter((crash) => isNamed(crash, name));
    const exact = found.find((crash) => crash.name === name);
    const [only, another] = exact === undefined ? found : [exact];
    if (only === undefined) throw new UserError(this.#noCrash(name));
    if (another !== undefined) {
      const names = found.map((crash) => crash.name);
      throw new UserError(`${name} could be ${names.slice(0, 5).join(" or ")}: say which`);
    }
    return only;
  }

  #noCrash(name: string): string {
    const record = this.records.find((one) =>
      [one.name, `${one.guest}/${one.name}`].includes(name),
    );
    // An ERST file's records have no path that a command takes.
    return record === undefined || erstFileOf(record) !== undefined
      ? `${this.path} holds no crash ${name}`
      : `${name} is a record and no crash: \`virtio-pstore show ${record.path}\` shows it`;
  }
}

export const newReader = (): CrashReader =>
  new CrashReader((error) => {
    warn(errorLine(error));
  });

function isNamed({ name, dump }: Crash, asked: string): boolean {
  const own = name.slice(name.lastIndexOf("/") + 1);
  return (
    [name, own, `${dump.parts[0]?.id}`, `${dump.guest}/${dump.parts[0]?.id}`].includes(asked) ||
    dump.parts.some((part) => [part.name, `${dump.guest}/${part.name}`].includes(asked))
  );
}
