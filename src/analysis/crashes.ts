import { basename, dirname } from "node:path";
import { LATE_MS, type StreamTypeName } from "../records/index.js";
import { linePieces } from "../records/pieces.js";
import type { RecordEntry } from "../records/record.js";
import { type BootStream, findStreams } from "./boot-streams.js";
import type { HeadedRecord } from "./decode.js";
import { type Dump, dumpText, isCutShort } from "./dumps.js";
import { ownerOf } from "./folders.js";
import { groupDumps } from "./group-dumps.js";
import { type LogFacts, readFacts } from "./title/index.js";

/** One dump of a guest's log: an oops, a panic, … A guest that oopses and then panics leaves two. */
export interface Crash {
  /**
   * Its first record's; its guest's before it where the path holds several: `web/dmesg-7`. How the record
   * is compressed is only in it where another has the same id: `dmesg-7.enc.z` beside `dmesg-7`.
   */
  readonly name: string;
  /** The name of the guest's directory, or of its ERST file without `.erst`. */
  readonly guest: string;
  readonly dump: Dump;
  /** As stored, in bytes. */
  readonly size: number;
}

/** What else was recorded of a crash's boot. */
export interface Related {
  /** The trace that was dumped with the log. */
  readonly ftrace: Dump | undefined;
  readonly console: BootStream | undefined;
  readonly pmsg: BootStream | undefined;
}

/** What a crash's log says, but for the trace. */
export interface CrashFacts extends Omit<LogFacts, "frames"> {
  /** The last part is missing, or text of a part that is there: it is cut off or damaged. */
  readonly cutShort: boolean;
}

/** The name of the guest's directory, also where that was named itself; of its ERST file without `.erst`. */
export function guestOf(record: RecordEntry): string {
  const { guest, path, container } = record;
  if (guest !== "") return guest;
  if (container === undefined) return basename(ownerOf(dirname(path)));
  const name = basename(container, ".erst");
  // A folder gets this name: a file called `...erst` isn't for the one above.
  return /^\.*$/.test(name) ? basename(container) : name;
}

/** Its name without what says how it is compressed. */
export const stemOf = ({ name }: RecordEntry): string => name.replace(/\.enc\.z$|\.gz$/, "");

/** A name of all that have the same id, as where somebody put two directories together. */
const idOf = (record: RecordEntry): string => `${record.guest}/${stemOf(record)}`;

/** The ids that several records have. Where none is compressed, no two have the same. */
function sharedIds(records: readonly RecordEntry[]): ReadonlySet<string> {
  const shared = new Set<string>();
  if (!records.some(({ compressed, gzip }) => compressed || gzip === true)) return shared;
  const ids = new Set<string>();
  for (const record of records) {
    const id = idOf(record);
    if (ids.has(id)) shared.add(id);
    ids.add(id);
  }
  return shared;
}

/** The crashes that the records hold, oldest first. */
export function findCrashes(records: readonly HeadedRecord[]): Crash[] {
  const shared = sharedIds(records);
  const crashes: Crash[] = [];
  for (const dump of groupDumps(records)) {
    const [first] = dump.parts;
    if (dump.type !== "dmesg" || first === undefined) continue;
    const own = shared.size > 0 && shared.has(idOf(first)) ? first.name : stemOf(first);
    const name = dump.guest === "" ? own : `${dump.guest}/${own}`;
    const size = dump.parts.reduce((sum, part) => sum + part.size, 0);
    crashes.push({ name, guest: guestOf(first), dump, size });
  }
  return crashes;
}

/** Finds what of some records is of a crash's guest and boot, where the boot is known. */
export function relations(records: readonly HeadedRecord[]): (crash: Crash) => Related {
  const traces = new Map<string, Dump>();
  for (const dump of groupDumps(records)) {
    const key = traceKey(dump);
    if (dump.type === "ftrace" && !traces.has(key)) traces.set(key, dump);
  }
  const newest = (type: StreamTypeName) =>
    new Map(findStreams(records, type).map((stream) => [bootKey(stream), stream]));
  const consoles = newest("console");
  const messages = newest("pmsg");
  return ({ dump }) =>
    dump.boot === undefined
      ? { ftrace: undefined, console: undefined, pmsg: undefined }
      : {
          ftrace: traces.get(traceKey(dump)),
          console: consoles.get(bootKey(dump)),
          pmsg: messages.get(bootKey(dump)),
        };
}

const bootKey = ({ guest, boot }: Dump | BootStream): string => `${guest}/${boot}`;

const traceKey = (dump: Dump): string => `${bootKey(dump)} ${dump.reason} ${dump.count}`;

/** As large as a log gets that was sent as it is, and far more than what a real one is compressed to. */
const MAX_LOG_BYTES = 64 << 20;
const MAX_RATIO = 64;
const MIN_LOG_BYTES = 1 << 20;

/**
 * What a crash's log says of it; `unread` if a record couldn't be read, which may pass. What that takes is
 * bounded by what the guest had to store: of a text that is more than 64 times as large, and more than
 * 1 MiB, the rest isn't read.
 */
export function factsOf({
  dump,
  size,
}: Crash): CrashFacts & Pick<LogFacts, "frames"> & { readonly unread: boolean } {
  let cutShort = isCutShort(dump);
  let unread = false;
  const text = dumpText(dump, (error) => {
    cutShort = true;
    unread ||= error !== undefined;
  });
  const most = Math.min(MAX_LOG_BYTES, Math.max(MIN_LOG_BYTES, MAX_RATIO * size));
  return { ...readFacts(linesOf(text, most)), cutShort, unread };
}

/** No log has as many lines in a piece as have fewer bytes on average: a level and a time take more. */
const LINE_BYTES = 16;

function* linesOf(text: Iterable<Uint8Array>, mostBytes: number): Generator<string, void, void> {
  let left = mostBytes;
  for (const piece of linePieces(text)) {
    const most = 1000 + Math.ceil(piece.length / LINE_BYTES);
    const lines = piece.toString("utf8").split("\n", most);
    // Behind the last line break is nothing, not a line.
    if (lines.at(-1) === "") lines.pop();
    yield* lines;
    left -= piece.length;
    if (left <= 0) return;
  }
}

/** So long after its last part a dump counts as whole: what comes later is no part of it. */
export const QUIET_MS = LATE_MS;

/** Whether nothing more of a crash is to come, as far as its records' times tell; see also arrivals.ts. */
export const isSettled = ({ dump }: Crash): boolean =>
  (dump.oldestFirst && !isCutShort(dump)) || dump.parts.every(({ time }) => isQuiet(time));

/** Whether what was last written then is no longer being written. */
export const isQuiet = (time: Date): boolean => Math.abs(Date.now() - time.getTime()) > QUIET_MS;

/** The records of a crash that are its own: its log's parts and its trace's. */
export function ownRecords({ dump }: Crash, { ftrace }: Related): RecordEntry[] {
  return [...dump.parts, ...(ftrace?.parts ?? [])];
}
