import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { Extent, PhysicalMemory } from "../physical-memory.js";
import { packHere } from "./compress-pool.js";
import { writeElf } from "./elf.js";
import { writeKdump } from "./kdump.js";

const PAGE = 4096;
const TIB = 2 ** 40;

/** Memory that is said to be there, and holds nothing. */
function claimed(regions: readonly Extent[]): PhysicalMemory {
  return { regions, extents: () => [], read: (_, into) => into.length, close: () => undefined };
}

function newPath(): string {
  const folder = mkdtempSync(join(tmpdir(), "virtio-pstore-claims-"));
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
  });
  return join(folder, "core");
}

const kdump = (memory: PhysicalMemory, path: string) =>
  writeKdump(memory, path, undefined, undefined, {
    compression: "zlib",
    packer: packHere("zlib"),
  });

test("pages that are memory are marked in a kdump-compressed core, and no others", async () => {
  const path = newPath();
  const pages = (first: number, end: number) => ({
    start: first * PAGE,
    size: (end - first) * PAGE,
  });
  await kdump(claimed([pages(1, 3), pages(5, 30), pages(32, 40), pages(41, 47)]), path);
  const bitmap = readFileSync(path).subarray(2 * PAGE, 2 * PAGE + 6);
  expect(bitmap).toEqual(Buffer.from([0xe6, 0xff, 0xff, 0x3f, 0xff, 0x7e]));
});

test("a core's claim of more memory than a bit a page is kept of is refused where that is needed", async () => {
  const path = newPath();
  await expect(kdump(claimed([{ start: 0, size: 4096 * TIB }]), path)).rejects.toThrow(
    /^its memory goes on to 4503599627370496 bytes: that far only an ELF core/,
  );
  await writeElf(claimed([{ start: 0, size: 2 * TIB }]), path, undefined);
  expect(statSync(path).blocks).toBeLessThan(100);
});

test("memory in more pieces than an ELF core may have is refused", async () => {
  const regions = Array.from({ length: 70_000 }, (_, i) => ({ start: 2 * i * PAGE, size: PAGE }));
  await expect(writeElf(claimed(regions), newPath(), undefined)).rejects.toThrow(
    /^its memory is in 70000 pieces, and an ELF core has 65534 at most/,
  );
});
