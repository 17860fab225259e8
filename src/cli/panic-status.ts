import { existsSync } from "node:fs";
import { InvalidArgumentError } from "commander";
import { findRecords, readHeader } from "../analysis/index.js";
import type { RecordEntry } from "../records/index.js";

export function parseStatus(text: string): number {
  const status = Number(text);
  if (/^[0-9]{1,3}$/.test(text) && status < 256) return status;
  throw new InvalidArgumentError("It must be an exit status from 0 to 255.");
}

const dumpsAt = (paths: readonly string[]): RecordEntry[] =>
  paths
    .filter((path) => existsSync(path))
    .flatMap((path) => findRecords(path))
    .filter(({ type }) => type === "dmesg");

/** What `run` returns, or `status` where it left the record of a panic at one of the paths. */
export async function withPanicStatus(
  status: number,
  paths: readonly string[],
  run: () => Promise<number>,
): Promise<number> {
  const before = new Set(dumpsAt(paths).map(({ path }) => path));
  const own = await run();
  const panicked = dumpsAt(paths).some(
    (record) => !before.has(record.path) && readHeader(record).header?.reason === "Panic",
  );
  return panicked ? status : own;
}
