import { setTimeout as sleep } from "node:timers/promises";
import { Option } from "commander";
import { readFacts } from "../../analysis/title/index.js";
import { MemoryError } from "../../memory/errors.js";
import { KernelLog, type LogEntry, logText } from "../../memory/log.js";
import { LogFollower } from "../../memory/log-follower.js";
import { findLogRing } from "../../memory/log-ring.js";
import { note, notedText } from "../../records/note.js";
import type { Looked, View } from "./view.js";

/** How often the head of the ring is looked at: 16 bytes. */
const POLL_MS = 100;

export const log: View = {
  name: "log",
  summary: "the kernel's log, as dmesg -r prints it; on stderr the title of a crash in it",
  options: [
    new Option("--follow", "log: go on with each new message, until SIGINT").default(false),
  ],

  show(looked) {
    const entries = [...logOf(looked).entries()];
    const lines = linesOf(entries);
    const { title } = readFacts(lines);
    if (title !== "") looked.notes.add(`the log ends in a crash: ${title}`);
    return {
      lines,
      json: () => ({ title: title === "" ? null : title, messages: entries.map(jsonEntry) }),
    };
  },

  async *follow({ memory, kernel }: Looked, signal) {
    const follower = new LogFollower(memory, kernel);
    while (!signal.aborted) {
      const { booted, entries } = follower.poll();
      if (booted !== undefined) {
        yield note(`the guest booted again: Linux ${booted}`).trimEnd();
      }
      yield* linesOf(entries);
      await sleep(POLL_MS, undefined, { signal }).catch(() => undefined);
    }
  },
};

/** A kernel that has just begun to boot doesn't describe itself, but has a log. */
function logOf(looked: Looked): KernelLog {
  try {
    return new KernelLog(looked.kernel);
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
export function linesOf(entries: Iterable<LogEntry>): string[] {
  return [...notedText(logText(entries))].flatMap((piece) =>
    piece.toString("utf8").replace(/\n$/, "").split("\n"),
  );
}

function jsonEntry(entry: LogEntry): unknown {
  const seq = String(entry.seq);
  if ("lost" in entry) return { seq, lost: entry.lost, why: entry.why };
  const { priority, nanoseconds, text } = entry;
  return {
    ...{ seq, priority, nanoseconds: String(nanoseconds) },
    text: text.toString("utf8"),
  };
}
