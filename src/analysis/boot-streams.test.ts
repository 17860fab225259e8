import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DEFAULT_QUOTAS, DirectoryStore } from "../store/index.js";
import { findStreams, streamText } from "./boot-streams.js";
import { findRecords } from "./find-records.js";
import { ConsoleFollower } from "./follow.js";

let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pstore-boot-streams-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** Files of 8 bytes, so that each line has its own. */
const quotas = { ...DEFAULT_QUOTAS, console: { records: 5, bytes: 64 } };

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
    const store = new DirectoryStore(folder, { quotas });
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

describe("what its owner compressed", () => {
  const boot = "a".repeat(32);
  const put = (name: string, contents: string | Uint8Array) => {
    writeFileSync(join(folder, name), contents);
  };

  /** A stream of two files, the first of which holds so many bytes. */
  const first = (bytes: number) => {
    put(".streams", `${boot} console-1\n${boot} console-2 console-1 ${bytes}\n`);
    put("console-2", "end\n");
  };

  test("is shown once where the file itself is there, too, and removed with it", () => {
    put("console-1", "console\n");
    put("dmesg-2", "Panic#1 Part1\n");
    execFileSync("gzip", ["-k", join(folder, "console-1"), join(folder, "dmesg-2")]);
    expect(shown()).toEqual(["console\n"]);
    const records = findRecords(folder);
    expect(records.map(({ name }) => name)).toEqual(["console-1", "dmesg-2"]);
    for (const record of records) record.source.remove([record]);
    expect(findRecords(folder)).toEqual([]);
  });

  test("is shown as a whole, if it isn't larger than a stream's file", () => {
    const text = "a line\n".repeat(9_500_000);
    first(text.length);
    put("console-1.gz", gzipSync(text));
    expect(shown()[0] === `${text}end\n`).toBe(true);
  });

  test("isn't shown if it is larger, nor said to be missing", () => {
    const bytes = 80 << 20;
    first(bytes);
    put("console-1.gz", gzipSync(Buffer.alloc(bytes, "a line\n")));
    const note =
      "[virtio-pstore: not shown: console-1.gz claims to hold more than 65 MiB; gunzip it to see it]\n";
    expect(shown()).toEqual([`${note}end\n`]);
  });

  test("and is damaged says so in a line of its own, and counts neither that nor garbage as text", () => {
    first(100);
    put("console-1.gz", gzipSync("a line").subarray(0, -8));
    const cut = "[virtio-pstore: the record is cut short here: the rest of its text is missing]\n";
    expect(shown()).toEqual([`a line\n${cut}end\n`]);
    put("console-1.gz", "garbage");
    const note = `[virtio-pstore: ${join(folder, "console-1.gz")} can't be decompressed: 7 bytes; \`virtio-pstore show --raw\` of that file gives them]\n`;
    expect(shown()).toEqual([`${note}end\n`]);
  });
});

test("follow says what is missing in a line of its own", () => {
  const boot = "a".repeat(32);
  writeFileSync(join(folder, "console-1"), "cut off he");
  const follower = new ConsoleFollower(folder, 10);
  expect([follower.next()?.begun, follower.next()?.bytes.toString()]).toEqual([
    "console-1",
    "cut off he",
  ]);
  writeFileSync(join(folder, ".streams"), `${boot} console-1\n${boot} console-3 console-1 20\n`);
  writeFileSync(join(folder, "console-3"), "re\n");
  expect(follower.next()?.bytes.toString()).toBe("\n[virtio-pstore: 10 bytes are missing here]\n");
  expect(follower.next()?.bytes.toString()).toBe("re\n");
  follower.close();
});

test("follow goes on from one file to the next without a word, and says what is missing", () => {
  const store = new DirectoryStore(folder, { quotas });
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
  expect(followed()).toBe("<console-1>line 1\nline 2\n");
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
