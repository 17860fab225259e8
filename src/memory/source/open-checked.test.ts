import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, readSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { openChecked } from "./open-checked.js";

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "virtio-pstore-open-"));
  onTestFinished(() => {
    rmSync(path, { recursive: true });
  });
  execFileSync("mkfifo", [join(path, "fifo")]);
  writeFileSync(join(path, "file"), "memory");
  return path;
}

test("a FIFO isn't waited for", () => {
  expect(openChecked(join(folder(), "fifo"), () => true)).toBeUndefined();
});

test("a file that is another one isn't opened", () => {
  expect(openChecked(join(folder(), "file"), () => false)).toBeUndefined();
});

test("a file that a FIFO replaces once it was looked at is opened itself", () => {
  const path = folder();
  const fd = openChecked(join(path, "file"), () => {
    renameSync(join(path, "fifo"), join(path, "file"));
    return true;
  });
  const into = Buffer.alloc(6);
  expect(readSync(fd ?? -1, into)).toBe(6);
  expect(into.toString()).toBe("memory");
  closeSync(fd ?? -1);
});
