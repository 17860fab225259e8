import { randomBytes } from "node:crypto";
import { expect, it } from "vitest";
import { qemuGuest, umlGuest } from "../../vm/guest.js";
import { kernelNames } from "../../vm/kernel.js";
import {
  describeGuests,
  dumpTexts,
  panic,
  recordNames,
  runWithDevice,
  temporaryFolder,
} from "./support.js";

const panicAfter = (token: string) => `echo ${token} > /dev/kmsg\n${panic}`;
const newToken = () => `token-${randomBytes(8).toString("hex")}`;

describeGuests("a guest panics and its log lies on the host", () => {
  it.each(kernelNames)("QEMU, Linux %s", async (kernel) => {
    const directory = temporaryFolder();
    const token = newToken();
    const result = await runWithDevice(
      directory,
      await qemuGuest({ kernel, script: panicAfter(token) }),
    );
    // QEMU's own status is passed through: -no-reboot ends it well.
    expect(result.status, result.output).toBe(0);
    expect(result.output).toContain("virtio-pstore: stored");
    expect(recordNames(directory)).toContain("dmesg-1");
    const [text, ...others] = dumpTexts(directory);
    expect(others).toEqual([]);
    expect(text).toContain(token);
    expect(text).toContain("Kernel panic - not syncing: sysrq triggered crash");
    expect(text).not.toContain("[virtio-pstore:");
  });

  it.each(kernelNames)("QEMU, Linux %s, pstore's own way", async (kernel) => {
    const directory = temporaryFolder();
    const token = newToken();
    const guest = { kernel, script: panicAfter(token), driverParameters: { dump: "classic" } };
    const result = await runWithDevice(directory, await qemuGuest(guest));
    expect(recordNames(directory), result.output).toContain("dmesg-1.enc.z");
    expect(dumpTexts(directory)[0]).toContain(token);
  });

  it("user-mode-linux", async () => {
    const directory = temporaryFolder();
    const token = newToken();
    const result = await runWithDevice(directory, await umlGuest({ script: panicAfter(token) }));
    expect(result.status, result.output).toBe(134);
    expect(recordNames(directory)).toContain("dmesg-1");
    const [text] = dumpTexts(directory);
    expect(text).toContain(token);
    expect(text).toContain("Kernel panic - not syncing: sysrq triggered crash");
  });

  it("a guest that compresses nothing leaves dmesg-1", async () => {
    const directory = temporaryFolder();
    const token = newToken();
    const guest = await umlGuest({
      script: panicAfter(token),
      compressor: "none",
      driverParameters: { dump: "classic" },
    });
    await runWithDevice(directory, guest);
    expect(recordNames(directory)).toEqual(["dmesg-1"]);
    expect(dumpTexts(directory)[0]).toContain(token);
  });
});
