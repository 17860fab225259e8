import {
  type Crash,
  type CrashFacts,
  CrashReader,
  findCrashes,
  findEnds,
  type GuestEnded,
  type HeadedRecord,
  type Related,
  relations,
  stemOf,
} from "../analysis/index.js";
import type { RecordTypeName } from "../records/index.js";
import { errorLine, UserError, warn } from "../service/errors.js";
import { fullName, Names } from "../service/names.js";
import { type CrashFilter, isEndWanted, isWanted } from "./crash-filter.js";
import { nothingFound } from "./nothing-found.js";
import { Progress } from "./progress.js";
import { recordsAsked } from "./records-at.js";

/** The crashes at a path that a command was asked for, and what else is recorded there. */
export class CrashesAt {
  readonly path: string;
  /** Of the guests that are asked for. */
  readonly records: readonly HeadedRecord[];
  /** Oldest first. */
  readonly crashes: readonly Crash[];
  /** How guests ended, also those that crashed. */
  readonly ends: readonly GuestEnded[];
  /** Something that was asked for can't be read, and was told. */
  get isPartial(): boolean {
    return this.#isPartial;
  }

  readonly #filter: CrashFilter;
  readonly #reader: CrashReader;
  #isPartial = false;
  readonly #progress = new Progress("crashes");
  #related: ((crash: Crash) => Related) | undefined;
  #crashNames: Names<Crash> | undefined;
  #otherNames: Names<HeadedRecord> | undefined;
  /** By a record's path, the crash of whose trace it is. */
  #traced: ReadonlyMap<string, Crash> | undefined;

  /** With another's reader, what that has read before isn't read again. `tell` is told of what can't be read. */
  constructor(
    path: string,
    filter: CrashFilter = {},
    reader?: CrashReader,
    tell: (line: string) => void = warn,
  ) {
    const skipped = (line: string) => {
      this.#isPartial = true;
      tell(line);
    };
    this.path = path;
    this.#reader = reader ?? newReader(skipped);
    this.#filter = filter;
    this.records = recordsAsked(path, filter, skipped).map((record) => this.#reader.headed(record));
    this.crashes = findCrashes(this.records).filter((crash) =>
      isWanted(crash, filter, (one) => this.facts(one)),
    );
    const ends = findEnds(path, (error) => {
      skipped(`skipped ${errorLine(error)}`);
    });
    this.ends = ends.filter((end) => isEndWanted(end, filter));
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
    if (newest === undefined) throw this.nothing();
    return newest;
  }

  /** For where nothing is found. */
  nothing(type: RecordTypeName = "dmesg"): UserError {
    return nothingFound(this.path, this.records, this.#filter, type);
  }

  /** By its name or id, or those of any of its log's records, without the guest where that is clear. */
  named(name: string): Crash {
    this.#crashNames ??= new Names(this.crashes, ({ name }) => name, namesOf);
    const crash = this.#crashNames.only(name);
    if (crash === undefined) throw new UserError(this.#noCrash(name));
    return crash;
  }

  /** A crash, or a record that is no crash's, by the name that `list --records` tells. */
  crashOrRecord(name: string): Crash | HeadedRecord {
    const record = this.#others.only(name);
    if (record === undefined) return this.named(name);
    this.#traced ??= new Map(
      this.crashes.flatMap((crash) =>
        (this.related(crash).ftrace?.parts ?? []).map(({ path }) => [path, crash]),
      ),
    );
    const crash = this.#traced.get(record.path);
    if (crash === undefined) return record;
    throw new UserError(`${name} is of the trace of ${crash.name}, and goes with it: name that`);
  }

  /** Records that are no part of a log. */
  get #others(): Names<HeadedRecord> {
    this.#otherNames ??= new Names(
      this.records.filter(({ type }) => type !== "dmesg"),
      fullName,
      ({ name }) => [name],
    );
    return this.#otherNames;
  }

  #noCrash(name: string): string {
    const record = this.#others.only(name);
    // An ERST file's records have no path that a command takes.
    return record === undefined || record.container !== undefined
      ? `${this.path} holds no crash ${name}`
      : `${name} is a record and no crash: \`virtio-pstore show ${record.path}\` shows it`;
  }
}

export const newReader = (tell: (line: string) => void): CrashReader =>
  new CrashReader((error) => {
    tell(errorLine(error));
  });

function namesOf({ name, dump }: Crash): string[] {
  const own = [name.slice(name.lastIndexOf("/") + 1)];
  for (const part of dump.parts) own.push(part.name, stemOf(part), `${part.id}`);
  return dump.guest === "" ? own : own.flatMap((one) => [one, `${dump.guest}/${one}`]);
}
