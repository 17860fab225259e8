import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { findDebugFiles } from "./debug-directory.js";

/** A directory of this name is removed when it is to be read. */
vi.mock("node:fs", async (original) => {
  const real = await original<typeof import("node:fs")>();
  const readdirSync = (path: string, options: { readonly withFileTypes: true }) => {
    if (path.endsWith("/gone")) real.rmSync(path, { recursive: true });
    return real.readdirSync(path, options);
  };
  return { ...real, readdirSync };
});

let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pstore-debug-"));
  chmodSync(folder, 0o755);
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

function put(...names: readonly string[]): void {
  for (const name of names) {
    mkdirSync(join(folder, name, ".."), { recursive: true });
    writeFileSync(join(folder, name), "");
  }
}

test("modules are found below it, by the kernel's name, with the stripped one last", () => {
  put("a/foo-bar.ko", "b/c/foo-bar.ko.debug", "b/baz.ko", "b/none.o", "vmlinux.debug");
  const { vmlinux, modules } = findDebugFiles(folder);
  expect(vmlinux).toBe(join(folder, "vmlinux.debug"));
  expect(modules.get("foo_bar")).toEqual(
    ["b/c/foo-bar.ko.debug", "a/foo-bar.ko"].map((name) => join(folder, name)),
  );
  expect([...modules.keys()].sort()).toEqual(["baz", "foo_bar"]);
});

test("a folder that may not be read doesn't keep the others from being found", () => {
  put("a/foo.ko", "b/bar.ko");
  chmodSync(join(folder, "a"), 0);
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(65534);
  try {
    expect([...findDebugFiles(folder).modules.keys()]).toEqual(["bar"]);
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
});

test("nor does one that is gone at this moment", () => {
  put("gone/foo.ko", "b/bar.ko");
  expect([...findDebugFiles(folder).modules.keys()]).toEqual(["bar"]);
});

test("the folder itself has to be there", () => {
  expect(() => findDebugFiles(join(folder, "none"))).toThrow("ENOENT");
  expect(() => findDebugFiles(folder)).toThrow("holds neither vmlinux nor modules");
});
