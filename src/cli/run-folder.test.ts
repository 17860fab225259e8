import {
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { tryLock } from "../os/index.js";
import { makeRunFolder } from "./run-folder.js";

const PREFIX = "virtio-pstore-run-";

let parent = "";

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "pstore-run-folder-"));
});

afterEach(() => {
  rmSync(parent, { recursive: true });
});

/** Makes a run's folder, and returns what else is there then. */
function others(): string[] {
  const folder = makeRunFolder(parent);
  const own = basename(dirname(folder.socketPath));
  const names = readdirSync(parent).filter((name) => name !== own);
  folder.remove();
  expect(existsSync(join(parent, own))).toBe(false);
  return names;
}

function put(name: string, socket = true): string {
  const path = join(parent, name);
  mkdirSync(path, { mode: 0o700 });
  if (socket) writeFileSync(join(path, "socket"), "");
  return path;
}

describe("making a run's folder", () => {
  test("removes those whose runs are gone, with a socket and without one", () => {
    put(`${PREFIX}AAAAAA`);
    put(`${PREFIX}bbbbb9`, false);
    expect(others()).toEqual([]);
  });

  test("leaves those of runs that live", () => {
    const living = makeRunFolder(parent);
    const fd = openSync(put(`${PREFIX}AAAAAA`), "r");
    expect(tryLock(fd)).toBe(true);
    expect(others().sort()).toEqual(
      [basename(dirname(living.socketPath)), `${PREFIX}AAAAAA`].sort(),
    );
    closeSync(fd);
    living.remove();
    expect(others()).toEqual([]);
  });

  test("leaves what isn't a run's: other names, files, and what links lead to", () => {
    const elsewhere = mkdtempSync(join(parent, "elsewhere-"));
    writeFileSync(join(elsewhere, "socket"), "");
    symlinkSync(elsewhere, join(parent, `${PREFIX}AAAAAA`));
    writeFileSync(join(parent, `${PREFIX}BBBBBB`), "");
    for (const name of [`${PREFIX}AAAAAAA`, `${PREFIX}AAAAA`, `${PREFIX}AAA-AA`]) put(name);
    const before = readdirSync(parent);
    expect(others()).toEqual(before);
    expect(readdirSync(elsewhere)).toEqual(["socket"]);
  });

  test("follows no link in a folder, and leaves what else is in it", () => {
    const precious = join(parent, "precious");
    writeFileSync(precious, "");
    symlinkSync(precious, join(put(`${PREFIX}AAAAAA`, false), "socket"));
    const full = put(`${PREFIX}BBBBBB`);
    mkdirSync(join(full, "more"));
    expect(others().sort()).toEqual(["precious", basename(full)]);
    expect(readdirSync(full)).toEqual(["more"]);
  });

  test.runIf(process.geteuid?.() === 0)("leaves other users' folders", () => {
    chownSync(put(`${PREFIX}AAAAAA`), 12_345, 12_345);
    expect(others()).toEqual([`${PREFIX}AAAAAA`]);
  });
});
