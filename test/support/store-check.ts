import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { parseRecordName, readEnds } from "../../src/records/index.js";
import { DirectoryStore, type OnErase } from "../../src/store/index.js";
import type { Told } from "./store-scenario.js";

/** What must be true of a directory after a crash or a fault. */
export interface Expectation {
  readonly told: readonly Told[];
  /** Contents of files that were removed, or were about to be, by the store itself. */
  readonly removed: readonly string[];
  /** Ids that were in use. */
  readonly highest: bigint;
}

const isStore = (name: string) => name.startsWith(".");

/** Texts of all dumps, and of all streams joined, as the host's owner sees them. */
function contents(directory: string): { dumps: Map<string, string>; streams: string } {
  const dumps = new Map<string, string>();
  let streams = "";
  for (const name of readdirSync(directory)) {
    if (isStore(name)) continue;
    const text = readFileSync(join(directory, name), "latin1");
    if (name.startsWith("dmesg")) dumps.set(name, text);
    else streams += text;
  }
  return { dumps, streams };
}

/**
 * A fresh store on the directory: every acknowledged record is whole, unless it was dropped; nothing
 * half-written is visible as a record; what was erased stays hidden; what streams had, and how front-ends had gone away,
 * before an acknowledged record is there; ids go on.
 */
export function checkStore(directory: string, onErase: OnErase, expected: Expectation): void {
  const { told, removed } = expected;
  const sent = new Set(told.flatMap((one) => (one.kind === "sent" ? [one.text] : [])));
  const erasing = new Set(told.flatMap((one) => (one.kind === "erasing" ? [one.text] : [])));
  const erased = told.flatMap((one) => (one.kind === "erased" ? [one.text] : []));
  const store = new DirectoryStore(directory, { onErase });
  try {
    const { dumps, streams } = contents(directory);
    for (const [name, text] of dumps) expect(sent, `${name} is no whole record`).toContain(text);
    const there = [...dumps.values()];
    const shown = store.visible
      .records(["dmesg"])
      .map((record) => store.visible.read(record, 10_000)?.data.toString() ?? "");
    for (const text of erased) expect(shown).not.toContain(text);
    for (const one of told) {
      if (one.kind !== "stored" || removed.includes(one.text)) continue;
      if (erasing.has(one.text)) {
        if (onErase === "keep") expect(there).toContain(one.text);
      } else {
        expect(shown).toContain(one.text);
      }
    }
    const lastStored = told.findLastIndex(({ kind }) => kind === "stored");
    const ends = readEnds(directory).map(({ timeMs }) => `${timeMs}`);
    expect(new Set(ends).size).toBe(ends.length);
    for (const one of told.slice(0, Math.max(0, lastStored))) {
      if (one.kind === "ended") expect(ends).toContain(one.text);
      if (one.kind !== "line" || removed.some((text) => text.includes(one.text))) continue;
      expect(streams).toContain(one.text);
    }
    const before = new Set(readdirSync(directory));
    store.write("dmesg", false, [Buffer.from("after it all")]);
    store.commit(({ writes }) => {
      expect(writes).toEqual([0]);
    });
    const [added = ""] = readdirSync(directory).filter(
      (name) => !isStore(name) && !before.has(name),
    );
    const id = parseRecordName(added)?.id ?? 0n;
    expect(id).toBeGreaterThan(expected.highest);
    for (const name of before) expect(parseRecordName(name)?.id ?? 0n).toBeLessThan(id);
  } finally {
    store.close();
  }
}
