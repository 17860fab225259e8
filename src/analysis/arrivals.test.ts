import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateRawSync } from "node:zlib";
import { expect, onTestFinished, test } from "vitest";
import { encodeStore } from "../../test/support/erst-records.js";
import { Arrivals } from "./arrivals.js";
import { findCrashes } from "./crashes.js";
import { readHeader } from "./decode.js";
import { findRecords } from "./find-records.js";

test.each([0n, 1_000_000_000n, 8_000_000_000n])(
  "a crash in an ERST file is whole when no part came for 10 s, though the guest's clock says %s",
  (timestamp) => {
    const folder = mkdtempSync(join(tmpdir(), "virtio-pstore-erst-"));
    onTestFinished(() => {
      rmSync(folder, { recursive: true });
    });
    const path = join(folder, "erst");
    const part = (number: number) => ({
      id: BigInt(number),
      timestamp,
      body: deflateRawSync(`Panic#1 Part${number}\ntext\n`),
    });
    let nowMs = 5;
    const arrivals = new Arrivals(() => nowMs);
    const isSettled = (...parts: readonly number[]) => {
      writeFileSync(path, encodeStore({ records: parts.map(part) }));
      const crashes = findCrashes(findRecords(path).map(readHeader));
      expect(crashes).toHaveLength(1);
      arrivals.note(crashes);
      return crashes.every((crash) => arrivals.isSettled(crash));
    };
    expect(isSettled(1)).toBe(false);
    nowMs += 9000;
    expect(isSettled(1, 2)).toBe(false);
    nowMs += 9000;
    expect(isSettled(1, 2)).toBe(false);
    nowMs += 1001;
    expect(isSettled(1, 2)).toBe(true);
  },
);
