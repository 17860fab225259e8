import {
  type BootStream,
  type Crash,
  type Dump,
  dumpText,
  findStreams,
  groupDumps,
  guestOf,
  isCutShort,
  readHeader,
  recordBytes,
  recordText,
  streamText,
  unreadableLine,
} from "../analysis/index.js";
import { isStream, notedText, type RecordEntry, type RecordTypeName } from "../records/index.js";
import { UserError } from "../service/errors.js";
import type { CrashesAt } from "./crashes-at.js";
import { howRecorded } from "./nothing-found.js";

/** Something to show. */
export interface TitledText {
  /** Whose it is. */
  readonly guest: string;
  /** What it is, in a line; undefined where the user named the very record. */
  title(): string | undefined;
  text(): Iterable<Uint8Array>;
}

/** All of a type at a path, oldest first; a boot's stream counts as old as its last line. */
export function allOf(at: CrashesAt, type: RecordTypeName): TitledText[] {
  if (type === "dmesg") return at.crashes.map((crash) => titledCrash(at, crash));
  if (isStream(type)) return findStreams(at.records, type).map(titledStream);
  return groupDumps(at.records)
    .filter((dump) => dump.type === type)
    .map(titledTrace);
}

/** A crash's log, or what else was recorded of its boot; UserError where there is none. */
export function ofCrash(at: CrashesAt, crash: Crash, type: RecordTypeName): TitledText {
  if (type === "dmesg") return titledCrash(at, crash);
  const { ftrace, console, pmsg } = at.related(crash);
  if (type === "ftrace" && ftrace !== undefined) return titledTrace(ftrace);
  const stream = type === "console" ? console : type === "pmsg" ? pmsg : undefined;
  if (stream !== undefined) return titledStream(stream);
  const why =
    crash.dump.boot === undefined
      ? ": its records don't say which boot it was in"
      : howRecorded(type);
  throw new UserError(`no ${type} record belongs to ${crash.name}${why}`);
}

/** What one record holds; its bytes where nothing reads it and `raw` asks for them, UserError else. */
export function titledRecord(record: RecordEntry, raw: boolean): TitledText {
  const text = () => recordText(readHeader(record));
  if (!raw && text() === undefined) throw new UserError(unreadableLine(record));
  return {
    guest: guestOf(record),
    title: () => undefined,
    text: () => {
      const found = text();
      return found === undefined ? recordBytes(record) : notedText(found);
    },
  };
}

const titledCrash = (at: CrashesAt, crash: Crash): TitledText => ({
  guest: crash.guest,
  title: () => {
    const { title, release, cutShort } = at.facts(crash);
    const kernel = release === undefined ? "" : `kernel ${release}, `;
    return `${crash.name}: ${title} (${kernel}${dumpTitle(crash.dump, cutShort)})`;
  },
  text: () => dumpText(crash.dump),
});

const titledTrace = (dump: Dump): TitledText => ({
  guest: ownerOf(dump.parts),
  title: () => `${from(dump.guest)}ftrace: ${dumpTitle(dump)}`,
  text: () => dumpText(dump),
});

const titledStream = (stream: BootStream): TitledText => ({
  guest: ownerOf(stream.records),
  title: () => {
    const { guest, boot, time, records } = stream;
    const names = records.map(({ name }) => name).join(", ");
    return `${from(guest)}${names}, ${bootTitle(boot)}last written ${time.toISOString()}`;
  },
  text: () => streamText(stream),
});

const ownerOf = ([first]: readonly RecordEntry[]): string =>
  first === undefined ? "" : guestOf(first);

const from = (guest: string): string => (guest === "" ? "" : `${guest}: `);

const bootTitle = (boot: string | undefined): string =>
  boot === undefined ? "" : `boot ${boot}, `;

function dumpTitle(dump: Dump, cutShort = isCutShort(dump)): string {
  const { reason, count, time, boot } = dump;
  const parts = dump.parts.length === 1 ? "1 part" : `${dump.parts.length} parts`;
  const end = cutShort ? ", cut short" : "";
  return `${reason}#${count} at ${time.toISOString()}, ${bootTitle(boot)}${parts}${end}`;
}
