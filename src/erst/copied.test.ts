import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { CopiedList, recordKey } from "./copied.js";

test("keys of records that have left the ERST file are dropped where there are many", () => {
  const folder = mkdtempSync(join(tmpdir(), "virtio-pstore-erst-"));
  onTestFinished(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const path = join(folder, ".erst");
  const list = new CopiedList(path);
  const keys = Array.from({ length: 1002 }, (_, i) => recordKey(BigInt(i + 1), Buffer.alloc(1)));
  for (const key of keys) list.add(key);
  const [here = "", gone = ""] = keys.slice(-2);
  list.prune([here, gone]);
  expect(list.has(keys[0] ?? "")).toBe(true);
  list.prune([here]);
  expect([here, gone, keys[0] ?? ""].map((key) => list.has(key))).toEqual([true, false, false]);
  expect(readFileSync(path, "latin1")).toBe(`${here}\n`);
});
