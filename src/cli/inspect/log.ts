import { setTimeout as sleep } from "node:timers/promises";
import { Option } from "commander";
import { readFacts } from "../../analysis/title/index.js";
import { MemoryError } from "../../memory/errors.js";
import { guestText } from "../../memory/guest-text.js";
import type { Kernel, Notes } from "../../memory/kernel/index.js";
import { KernelLog, type LogEntry, logText } from "../../memory/log.js";
import { LogFollower } from "../../memory/log-follower.js";
import { findLogRing } from "../../memory/log-ring.js";
import { Newest } from "../../memory/newest.js";
import { note, notedText } from "../../records/note.js";
import type { Looked, View } from "./view.js";

/** How often the head of the ring is looked at: 16 bytes. */
const POLL_MS = 100;

/** So many characters are kept at most: a crash's title is looked for in so much of the log's end, and JSON is made as a whole. */
const MAX_TEXT = 16 << 20;
/** What a line or a message takes beside its text, about. */
const BESIDE_TEXT = 64;

export const log: View = {
  name: "log",
  summary: "the kernel's log, as dmesg -r prints it; on stderr the title of a crash in it",
  options: [
    new Option("--follow", "log: go on with each new message, until SIGINT").default(false),
  ],

  show(looked) {
    const read = logOf(looked);
    return { lines: titledLines(looked, read), json: () => jsonLog(looked, read) };
  },

  async *follow({ memory, kernel, notes }: Looked, signal) {
    const follower = new LogFollower(memory, kernel);
    while (!signal.aborted) {
      const { booted, entries, notes: said } = follower.poll();
      for (const line of said) notes.add(line);
      if (booted !== undefined) {
        yield note(`the guest booted again: Linux ${booted}`).trimEnd();
      }
      yield* linesOf(entries);
      await sleep(POLL_MS, undefined, { signal }).catch(() => undefined);
    }
  },
};

/** The lines as they are read, then a note where they end in a crash. */
function* titledLines({ notes }: Looked, read: KernelLog): Generator<string, void, void> {
  const newest = newestLines();
  for (const line of linesOf(read.entries())) {
    newest.add(line);
    yield line;
  }
  titleOf(newest, notes);
}

function jsonLog({ notes }: Looked, read: KernelLog): unknown {
  const newest = newestLines();
  const messages = new Newest<JsonEntry>(MAX_TEXT, ({ text = "" }) => text.length + BESIDE_TEXT);
  const entries = noting(readable(read, notes), (entry) => messages.add(jsonEntry(entry)));
  for (const line of linesOf(entries)) newest.add(line);
  if (messages.leftOut > 0) notes.add(`the log's ${messages.leftOut} oldest messages are left out`);
  const title = titleOf(newest, notes);
  return { title: title === "" ? null : title, messages: messages.list };
}

function titleOf(newest: Newest<string>, notes: Notes): string {
  const { title } = readFacts(newest.list);
  if (title !== "") notes.add(`the log ends in a crash: ${title}`);
  return title;
}

/** The log's last lines, of which the crash is told that it ends in. */
export const newestLines = (): Newest<string> =>
  new Newest<string>(MAX_TEXT, ({ length }) => length + BESIDE_TEXT);

/** A log's entries as far as they can be read; why not all are is noted. */
export function* readable(log: KernelLog, notes: Notes): Generator<LogEntry, void, void> {
  try {
    yield* log.entries();
  } catch (error) {
    if (!(error instanceof MemoryError)) throw error;
    notes.add(`log: ${error.message}`);
  }
}

/** Shows each entry to `see` as it goes by. */
export function* noting(
  entries: Iterable<LogEntry>,
  see: (entry: LogEntry) => void,
): Generator<LogEntry, void, void> {
  for (const entry of entries) {
    see(entry);
    yield entry;
  }
}

function logOf(looked: Looked): KernelLog {
  const kernel = kernelOrLog(looked);
  return kernel instanceof KernelLog ? kernel : new KernelLog(kernel);
}

/** The kernel; one that has just begun to boot doesn't describe itself, but has a log. Throws MemoryError where there is neither. */
export function kernelOrLog(looked: Looked): Kernel | KernelLog {
  try {
    return looked.kernel;
  } catch (error) {
    if (!(error instanceof MemoryError && error.code === "NO_KERNEL")) throw error;
    const log = findLogRing(looked.memory);
    if (log === undefined) throw error;
    looked.notes.add(
      "the kernel doesn't describe itself (VMCOREINFO), or not yet: its log was found by how printk keeps it",
    );
    return log;
  }
}

/** As dmesg -r prints them. */
export function* linesOf(entries: Iterable<LogEntry>): Generator<string, void, void> {
  for (const piece of notedText(logText(entries))) {
    yield* guestText(piece).replace(/\n$/, "").split("\n");
  }
}

interface JsonEntry {
  readonly seq: string;
  readonly text?: string;
}

function jsonEntry(entry: LogEntry): JsonEntry {
  const seq = String(entry.seq);
  if ("lost" in entry) return { seq, ...{ lost: entry.lost, why: entry.why } };
  const { priority, nanoseconds, text } = entry;
  return {
    ...{ seq, priority, nanoseconds: String(nanoseconds) },
    text: guestText(text),
  };
}
