import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { EventLoop } from "../../src/os/index.js";
import { closeAll } from "../support/in-process.js";
import { startGuest } from "../support/pstore-in-process.js";
import { expect } from "./target.js";

/** A folder in memory where there is such a place: the disk isn't what is tested. */
export function fastFolder(): string {
  try {
    return mkdtempSync("/dev/shm/virtio-pstore-fuzz-");
  } catch {
    return mkdtempSync(join(tmpdir(), "virtio-pstore-fuzz-"));
  }
}

export const openDescriptors = (): number => readdirSync("/proc/self/fd").length;

/** A guest that keeps the rules stores a record and reads it, in a directory of its own. */
export async function serveGoodGuest(loop: EventLoop): Promise<void> {
  const directory = fastFolder();
  try {
    const { driver } = await startGuest({ loop, directory });
    const text = Buffer.from("Panic#1 Part1\na good guest\n");
    const { ret } = await driver.write({ type: 1 }, text);
    expect(ret === 0, `a good guest's record is stored, not answered ${ret}`);
    const records = await driver.walk();
    expect(records.length === 1, "a good guest sees its record");
    expect(records[0]?.data.equals(text) === true, "a good guest reads its record");
  } finally {
    closeAll();
    rmSync(directory, { recursive: true });
  }
}
