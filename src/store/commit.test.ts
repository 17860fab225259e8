import { closeSync, mkdtempSync, openSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { wrapFiles } from "../../test/support/store-files.js";
import { type CommitResult, commit } from "./commit.js";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "pstore-commit-"));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

test("a commit can be done record by record: what was appended to comes first, the directory last", () => {
  const calls: string[] = [];
  const files = wrapFiles((call, _args, run) => {
    calls.push(call);
    return run();
  });
  const stream = join(directory, "console-9");
  writeFileSync(stream, "a line\n");
  const records = [1, 2, 3].map((id) => {
    const temporaryPath = join(directory, `.next-${id}`);
    writeFileSync(temporaryPath, `${id}`);
    return {
      fd: openSync(temporaryPath, "r+"),
      temporaryPath,
      path: join(directory, `dmesg-${id}`),
    };
  });
  // Somebody has a file of that name.
  writeFileSync(join(directory, "dmesg-2"), "");
  const batch = {
    records,
    appended: [openSync(stream, "r+")],
    directory: openSync(directory, "r"),
  };
  let after: CommitResult | undefined;
  for (let i = 1; i <= 3; i++) {
    after = commit(batch, { files, after, isTurnOver: () => true });
    expect(after.records).toHaveLength(i);
    expect(calls.filter((call) => call === "renameNew")).toHaveLength(i);
  }
  expect(after).toEqual({ records: [0, 17, 0], rest: 0 });
  const one = ["sync", "renameNew", "close"];
  expect(calls).toEqual(["datasync", ...one, ...one, ...one, "sync"]);
  expect(readdirSync(directory)).toContain("dmesg-3");
  for (const fd of [...batch.appended, batch.directory]) closeSync(fd);
});
