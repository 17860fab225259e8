import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ConsoleFollower } from "./follow.js";

/** Called with a path that is about to be opened. */
let onOpen: (path: string) => void = () => undefined;

vi.mock("node:fs", async (importOriginal) => {
  const fs = await importOriginal<typeof import("node:fs")>();
  const openSync: typeof fs.openSync = (path, ...more) => {
    onOpen(String(path));
    return fs.openSync(path, ...more);
  };
  return { ...fs, openSync };
});

let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pstore-follow-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

const at = (name: string) => join(folder, name);

/** All that there is to show now, with the names of the consoles that it comes from. */
function shown(follower: ConsoleFollower): string {
  let text = "";
  for (let piece = follower.next(); piece !== undefined; piece = follower.next()) {
    text += piece.begun === undefined ? piece.bytes.toString() : `<${piece.begun}>`;
  }
  return text;
}

test("the newest console's last lines, and then what is added to it", () => {
  writeFileSync(at("console-9"), "old\n");
  writeFileSync(at("console-10"), "one\ntwo\nthree\n");
  writeFileSync(at("dmesg-11"), "a dump\n");
  const follower = new ConsoleFollower(folder, 2);
  expect(shown(follower)).toBe("<console-10>two\nthree\n");
  expect(shown(follower)).toBe("");
  appendFileSync(at("console-10"), "fo");
  expect(shown(follower)).toBe("fo");
  appendFileSync(at("console-10"), "ur\n");
  expect(shown(follower)).toBe("ur\n");
  follower.close();
});

test.each([
  [0, "one\ntwo", ""],
  [1, "one\ntwo", "two"],
  [1, "one\ntwo\n", "two\n"],
  [2, "one\ntwo\n", "one\ntwo\n"],
  [9, "one\ntwo", "one\ntwo"],
  [9, "", ""],
])("the last %i lines of %j are %j", (lines, contents, expected) => {
  writeFileSync(at("console-1"), contents);
  const follower = new ConsoleFollower(folder, lines);
  expect(shown(follower)).toBe(`<console-1>${expected}`);
  follower.close();
});

test("the last lines go back to the files that the newest goes on with, and no further", () => {
  writeFileSync(at("console-1"), "another boot\n");
  writeFileSync(at("console-2"), "a1\na2\na3\n");
  writeFileSync(at("console-3"), "b1\n");
  writeFileSync(at("console-4"), "c1\n");
  const boot = "a".repeat(32);
  const lines = [
    [2, 0],
    [3, 9],
    [4, 12],
  ].map(([id, offset]) => `${boot} console-${id} console-2 ${offset}\n`);
  writeFileSync(at(".streams"), lines.join(""));
  const last = (count: number) => shown(new ConsoleFollower(folder, count));
  expect(last(4)).toBe("<console-2>a2\na3\nb1\nc1\n");
  expect(last(2)).toBe("<console-3>b1\nc1\n");
  expect(last(9)).toBe("<console-2>a1\na2\na3\nb1\nc1\n");
  // Lines may be empty, and go on from one file to the next.
  writeFileSync(at("console-4"), "\n\nc1\n");
  expect(last(4)).toBe("<console-3>b1\n\n\nc1\n");
  expect(last(3)).toBe("<console-4>\n\nc1\n");
  writeFileSync(at("console-3"), "b1\nb2 go");
  writeFileSync(at("console-4"), "es on\nc1\n");
  expect(last(3)).toBe("<console-3>b1\nb2 goes on\nc1\n");
});

test("a console that begins later is shown whole, the former one to its end before", () => {
  const follower = new ConsoleFollower(folder, 1);
  expect(shown(follower)).toBe("");
  writeFileSync(at("console-1"), "one\ntwo\n");
  expect(shown(follower)).toBe("<console-1>one\ntwo\n");
  appendFileSync(at("console-1"), "last words\n");
  writeFileSync(at("console-3"), "next boot\nready\n");
  expect(shown(follower)).toBe("last words\n<console-3>next boot\nready\n");
  follower.close();
});

test("much text comes in pieces, whole", () => {
  const text = "0123456789abcdef\n".repeat(20_000);
  const follower = new ConsoleFollower(folder, 1);
  shown(follower);
  writeFileSync(at("console-1"), text);
  expect(shown(follower)).toBe(`<console-1>${text}`);
  follower.close();
});

test("what isn't a file is no console", () => {
  writeFileSync(at("console-1"), "one\n");
  mkdirSync(at("console-2"));
  symlinkSync("console-1", at("console-3"));
  const follower = new ConsoleFollower(folder, 10);
  expect(shown(follower)).toBe("<console-1>one\n");
  follower.close();
});

test("a console that its owner compressed isn't followed", () => {
  writeFileSync(at("console-1"), "one\n");
  writeFileSync(at("console-2.gz"), "not text");
  writeFileSync(at("console-3.enc.z"), "not text");
  const follower = new ConsoleFollower(folder, 10);
  expect(shown(follower)).toBe("<console-1>one\n");
  writeFileSync(at("console-4.gz"), "not text");
  expect(shown(follower)).toBe("");
  follower.close();
});

test("a file that is cut, moved away or gone is no reason to end", () => {
  writeFileSync(at("console-1"), "one\ntwo\n");
  const follower = new ConsoleFollower(folder, 10);
  shown(follower);
  truncateSync(at("console-1"), 4);
  expect(shown(follower)).toBe("");
  appendFileSync(at("console-1"), "more\n");
  expect(shown(follower)).toBe("more\n");
  unlinkSync(at("console-1"));
  expect(shown(follower)).toBe("");
  follower.close();
});

test("a console that is removed as it is about to be opened is no reason to end", () => {
  writeFileSync(at("console-1"), "one\n");
  const follower = new ConsoleFollower(folder, 10);
  shown(follower);
  writeFileSync(at("console-2"), "two\n");
  onOpen = (path) => {
    if (path === at("console-2")) unlinkSync(path);
  };
  try {
    expect(shown(follower)).toBe("");
  } finally {
    onOpen = () => undefined;
  }
  appendFileSync(at("console-1"), "more\n");
  writeFileSync(at("console-3"), "three\n");
  expect(shown(follower)).toBe("more\n<console-3>three\n");
  follower.close();
});
