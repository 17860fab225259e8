import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { decompress } from "../../src/report/decompress.js";
import { umlGuest } from "../../vm/guest.js";
import { describeGuests, panic, recordNames, runWithDevice, temporaryFolder } from "./support.js";

describeGuests("what a real kernel's pstore compressed is read", () => {
  it.each([
    ["deflate", "deflate"],
    ["zstd", "zstd"],
    ["lzo", "lzo"],
    ["lz4", "lz4"],
    ["lz4hc", "lz4"],
    ["842", "842"],
  ] as const)("%s", async (compressor, compression) => {
    const directory = temporaryFolder();
    const token = `token-${randomBytes(8).toString("hex")}`;
    const guest = await umlGuest({
      script: `echo ${token} > /dev/kmsg\n${panic}`,
      compressor,
      driverParameters: { dump: "classic" },
    });
    await runWithDevice(directory, guest);
    const [name = ""] = recordNames(directory);
    expect(name).toBe("dmesg-1.enc.z");
    const decoded = decompress(readFileSync(join(directory, name)));
    expect(decoded).toMatchObject({ compression, ending: "whole" });
    expect(decoded?.text.toString()).toContain(token);
  });
});
