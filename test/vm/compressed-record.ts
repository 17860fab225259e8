import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runGuest, umlGuest } from "../../vm/guest.js";
import { checkout } from "../../vm/paths.js";
import type { UmlCompressor } from "../../vm/uml.js";
import { compressors } from "../support/compressed.js";

/** A record that a real kernel's pstore compressed as it panicked, with `token` in its log. */
export async function compressedRecord(
  compressor: UmlCompressor,
  token: string,
): Promise<Uint8Array> {
  const directory = mkdtempSync(join(tmpdir(), "virtio-pstore-compressed-"));
  try {
    const guest = await umlGuest({
      kernel: "uml-pstore",
      script: `echo ${token} > /dev/kmsg\necho c > /proc/sysrq-trigger\n`,
      compressor,
      driverParameters: { dump: "classic" },
    });
    const run = [join(checkout, "bin", "virtio-pstore"), "run", "--bufsize", "4K"];
    const result = await runGuest([...run, "--directory", directory, "--", ...guest]);
    if (result.status !== 134) throw new Error(`no panic: ${result.output}`);
    return readFileSync(join(directory, "dmesg-1.enc.z"));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Makes the records in test/fixtures/compression anew: `node dist/test/vm/compressed-record.js`. */
if (process.argv[1]?.endsWith("compressed-record.js") === true) {
  const folder = join(checkout, "test/fixtures/compression");
  mkdirSync(folder, { recursive: true });
  for (const [compressor] of compressors) {
    writeFileSync(join(folder, compressor), await compressedRecord(compressor, "a-real-kernel"));
  }
}
