import { isDump } from "../records/index.js";
import { isPlainLine, printableLine } from "../records/printable.js";
import type { RecordEntry } from "../records/record.js";
import { CrashIndex } from "./crash-index.js";
import { type Crash, type CrashFacts, factsOf } from "./crashes.js";
import { type HeadedRecord, readHeader } from "./decode.js";

/** Reads records' headers, and what logs say, or takes them from their directories' indexes. */
export class CrashReader {
  readonly #indexes = new Map<string | undefined, CrashIndex>();
  readonly #onUnreadable: (error: unknown) => void;

  /** `onUnreadable` is told of a record that can't be read, or is removed at this moment. */
  constructor(onUnreadable: (error: unknown) => void) {
    this.#onUnreadable = onUnreadable;
  }

  headed(record: RecordEntry): HeadedRecord {
    try {
      return isDump(record.type)
        ? this.#indexOf(record).headed(record, readHeader)
        : readHeader(record);
    } catch (error) {
      this.#onUnreadable(error);
      return { ...record, header: undefined, headerBytes: 0 };
    }
  }

  /** Printable; the title is the reason where the log tells none. */
  facts(crash: Crash): CrashFacts {
    const { parts, reason } = crash.dump;
    const found = this.#indexOf(parts[0]).facts(parts, () => {
      const { frames, unread, ...facts } = factsOf(crash);
      return { facts, unread };
    });
    return printableFacts(found, reason);
  }

  /** Keeps for the next time, here and where a directory may be written to, what was asked for since the last. */
  save(): void {
    for (const index of this.#indexes.values()) index.save();
  }

  #indexOf(record: RecordEntry | undefined): CrashIndex {
    const directory = record?.source.directory;
    const there = this.#indexes.get(directory);
    if (there !== undefined) return there;
    const index = new CrashIndex(directory);
    this.#indexes.set(directory, index);
    return index;
  }
}

function printableFacts(facts: CrashFacts, reason: string): CrashFacts {
  const { title, signature, kind, cutShort, release, taint, task, cpu, pid } = facts;
  const isPlain = isPlainLine([title, signature, kind, release, taint, task].join(""));
  if (isPlain && title !== "") return facts;
  return {
    title: title === "" ? reason : printableLine(title),
    signature: printableLine(signature),
    kind: printableLine(kind),
    cutShort,
    ...(release === undefined ? {} : { release: printableLine(release) }),
    ...(taint === undefined ? {} : { taint: printableLine(taint) }),
    ...(cpu === undefined ? {} : { cpu }),
    ...(task === undefined ? {} : { task: printableLine(task) }),
    ...(pid === undefined ? {} : { pid }),
  };
}
