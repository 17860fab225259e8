import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DEFAULT_ROOMS, DirectoryStore } from "../store/index.js";
import { findStreams, streamText } from "./boot-streams.js";
import { ConsoleFollower } from "./follow.js";
import { findRecords } from "./records.js";

let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pstore-boot-streams-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** Files of 8 bytes, so that each line has its own. */
const rooms = { ...DEFAULT_ROOMS, console: { records: 5, bytes: 64 } };

const shown = () =>
  findStreams(findRecords(folder), "console").map((stream) =>
    Buffer.concat([...streamText(stream)]).toString(),
  );

const print = (store: DirectoryStore, ...texts: readonly string[]) => {
  for (const text of texts) store.append("console", [Buffer.from(text)]);
};

test.each(["a".repeat(32), undefined])(
  "the files of one boot are one stream, which says what is missing (boot %s)",
  (boot) => {
    const store = new DirectoryStore(folder, { rooms });
    store.beginBoot();
    print(store, "other\n");
    store.beginBoot(boot);
    print(store, "line 1\n", "line 2", "line 3\n", "line 4\n");
    store.close();
    expect(shown()).toEqual(["other\n", "line 1\nline 2line 3\nline 4\n"]);
    execFileSync("gzip", [join(folder, "console-2")]);
    expect(shown().at(-1)).toBe("line 1\nline 2line 3\nline 4\n");
    execFileSync("gunzip", [join(folder, "console-2.gz")]);
    unlinkSync(join(folder, "console-4"));
    expect(shown().at(-1)).toBe(
      "line 1\nline 2\n[virtio-pstore: 7 bytes are missing here]\nline 4\n",
    );
    unlinkSync(join(folder, "console-2"));
    expect(shown().at(-1)).toMatch(/^\[virtio-pstore: 7 bytes are missing here\]\nline 2\n\[/);
  },
);

test("follow goes on from one file to the next without a word, and says what is missing", () => {
  const store = new DirectoryStore(folder, { rooms });
  const follower = new ConsoleFollower(folder, 10);
  const followed = () => {
    let text = "";
    for (let piece = follower.next(); piece !== undefined; piece = follower.next()) {
      text += piece.begun === undefined ? piece.bytes.toString() : `<${piece.begun}>`;
    }
    return text;
  };
  store.beginBoot("a".repeat(32));
  print(store, "line 1\n", "line 2\n");
  expect(followed()).toBe("<console-2>line 2\n");
  print(store, "line 3\n", "line 4\n", "line 5\n");
  expect(followed()).toBe("line 3\nline 4\nline 5\n");
  for (let i = 6; i < 20; i++) print(store, `line ${i}\n`.slice(-8));
  const text = followed();
  expect(text).toContain(" bytes are missing here]\n");
  expect(text.endsWith("ine 19\n")).toBe(true);
  writeFileSync(join(folder, "console-99"), "another boot\n");
  expect(followed()).toBe("<console-99>another boot\n");
  follower.close();
  store.close();
});
