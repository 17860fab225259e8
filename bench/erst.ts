// `npm run bench:erst`: what a stock guest's dump leaves in ERST files of all sizes, with all record sizes.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { decodeRecord, findRecords } from "../src/analysis/index.js";
import { ErstFile } from "../src/formats/erst/index.js";
import { qemuGuest, runGuest } from "../vm/guest.js";
import { checkout } from "../vm/paths.js";
import { prepare } from "../vm/prepare.js";

const KIB = 1024;
const MIB = 1024 * KIB;

const SIZES = [64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB];
const RECORD_SIZES = [4 * KIB, 8 * KIB, 64 * KIB, 256 * KIB, MIB];

/** Numbered lines, so that what is left can be counted: 8,000 of about 90 bytes. */
const LINES = 8000;
const SCRIPT = `awk 'BEGIN { for (n = 1; n <= ${LINES}; n++) {
  printf "erst-line %d %x %x %040d\\n", n, n * 7919, n * 104729, n > "/dev/kmsg"
  fflush("/dev/kmsg") } }'
echo c > /proc/sysrq-trigger
`;

const inUnits = (bytes: number) => (bytes < MIB ? `${bytes / KIB}K` : `${bytes / MIB}M`);

/** One boot; the cell of the table. */
async function measure(fileBytes: number, recordSize: number): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "virtio-pstore-erst-"));
  try {
    const path = join(folder, "erst");
    try {
      ErstFile.create(path, fileBytes, recordSize);
    } catch {
      return "-";
    }
    const argv = await qemuGuest({
      kernel: "6.1",
      driver: false,
      serial: "none",
      append: "log_buf_len=4M printk.devkmsg=on",
      pstoreMount: "kmsg_bytes=16777216",
      script: SCRIPT,
    });
    await runGuest([join(checkout, "bin", "virtio-pstore"), "run", "--erst", path, "--", ...argv]);
    const records = findRecords(path).map(decodeRecord);
    const text = records.reduce((sum, { textBytes }) => sum + (textBytes ?? 0), 0);
    return `${records.length}, ${Math.round(text / KIB)}K`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  await prepare(["qemu", "6.1"]);
  console.log(
    `| store | ${RECORD_SIZES.map((size) => `records of ${inUnits(size)}`).join(" | ")} |`,
  );
  console.log(`|---|${RECORD_SIZES.map(() => "---").join("|")}|`);
  for (const fileBytes of SIZES) {
    const cells: string[] = [];
    for (const recordSize of RECORD_SIZES) {
      process.stderr.write(`${inUnits(fileBytes)} with records of ${inUnits(recordSize)} …\n`);
      cells.push(await measure(fileBytes, recordSize));
    }
    console.log(`| ${inUnits(fileBytes)} | ${cells.join(" | ")} |`);
  }
}

await new Command("npm run bench:erst --")
  .description(
    "Boots a guest without our driver for each size of an ERST file and of its records, and prints what its " +
      "dump leaves there.\n" +
      `Takes about 5 minutes: ${SIZES.length * RECORD_SIZES.length} boots.`,
  )
  .action(main)
  .parseAsync();
