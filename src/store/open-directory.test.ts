import { closeSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemFiles } from "./files.js";
import { OpenDirectory } from "./open-directory.js";

test("the first line of a record that is gone is forgotten", () => {
  const path = mkdtempSync(join(tmpdir(), "pstore-directory-"));
  const host = { files: systemFiles, retire: (fd: number) => closeSync(fd) };
  const directory = new OpenDirectory(host, path, 1n);
  const record = join(path, "dmesg-7");
  const name = { type: "dmesg", id: 7n, compressed: false } as const;
  for (const count of [1, 2]) {
    writeFileSync(record, `Panic#${count} Part1\n`);
    directory.readAnew();
    expect(directory.headers.get(name)).toMatchObject({ count });
    unlinkSync(record);
    directory.readAnew();
  }
  for (const fd of directory.end()) closeSync(fd);
  rmSync(path, { recursive: true });
});
