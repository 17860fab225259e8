import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { deflateRawSync } from "node:zlib";
import { onTestFinished } from "vitest";
import type { HeadedRecord } from "../../src/analysis/decode.js";
import type { RecordHeader } from "../../src/records/index.js";
import { filePieces } from "../../src/records/pieces.js";

let nextId = 1n;

let folder: string | undefined;

/** The folder of the test's records, which is gone when the test is over. */
function recordsFolder(): string {
  if (folder !== undefined) return folder;
  const made = mkdtempSync(joinPath(tmpdir(), "pstore-dumps-"));
  onTestFinished(() => {
    folder = undefined;
    rmSync(made, { recursive: true });
  });
  folder = made;
  return made;
}

/** What a record of a dump is to be. */
export interface Given {
  readonly guest?: string;
  readonly reason?: string;
  readonly count?: number;
  readonly part: number;
  /** Seconds. */
  readonly at?: number;
  readonly type?: "dmesg" | "ftrace";
  /** What a raw dump's header says besides. */
  readonly more?: Partial<RecordHeader>;
}

/** A record that the guest compressed, whose text is its guest, reason, count and part. */
export function record(given: Given): HeadedRecord {
  const {
    guest = "",
    reason = "Panic",
    count = 1,
    part,
    at = 0,
    type = "dmesg",
    more = {},
  } = given;
  const id = nextId++;
  const path = joinPath(recordsFolder(), `${type}-${id}.enc.z`);
  const stored = deflateRawSync(
    `${reason}#${count} Part${part}\n${guest}${reason}${count}.${part}\n`,
  );
  writeFileSync(path, stored);
  return {
    type,
    id,
    compressed: true,
    name: `${type}-${id}`,
    path,
    guest,
    size: stored.length,
    time: new Date(at * 1000),
    erased: false,
    header: { reason, count, part, ...more },
    headerBytes: 0,
    source: { read: (_, from, to) => filePieces(path, from, to), remove: () => undefined },
  };
}

/** The same, of which nothing can be read. */
export function unreadable(given: Given): HeadedRecord {
  const broken = { ...record(given), header: undefined, size: 7 };
  writeFileSync(broken.path, "garbage");
  return broken;
}

export const parts = (...numbers: readonly number[]) => numbers.map((part) => record({ part }));
