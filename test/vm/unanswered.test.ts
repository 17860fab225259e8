import { join } from "node:path";
import { expect, it } from "vitest";
import { isCutShort } from "../../src/analysis/index.js";
import { qemuGuest } from "../../vm/guest.js";
import { until } from "../support/patience.js";
import {
  crashGuest,
  crashLines,
  describeGuests,
  dumpsOf,
  dumpTexts,
  panic,
  qemuDevice,
  serve,
  startGuest,
  temporaryFolder,
  upTo,
} from "./support.js";

describeGuests("a host that doesn't answer", () => {
  it("an oops leaves buffers for the dump of a panic that comes when the host is there again", async () => {
    const folder = temporaryFolder();
    const socket = join(folder, "socket");
    const directory = join(folder, "crashes");
    const daemon = await serve(
      ...["--types", "dmesg,pmsg", "--socket-path", socket, "--directory", directory],
      // The log needs more buffers than there are.
      ...["--max-data", "4K"],
    );
    const lines = 500;
    const guest = startGuest([
      ...(await crashGuest("6.1", {
        serial: "stdio",
        quiet: true,
        script: [
          // A queue's first answer comes with an interrupt, which the oops's answers must not be.
          "echo something > /dev/pmsg0; sleep 1",
          "echo READY; read _",
          `insmod /crash.ko how=oops lines=${lines}; sleep 2; echo OOPSED; read _; sleep 1`,
          panic,
        ].join("\n"),
      })),
      ...qemuDevice(socket),
    ]);
    await guest.printed("READY");
    process.kill(daemon.daemon(), "SIGSTOP");
    guest.goOn();
    await guest.printed("OOPSED");
    process.kill(daemon.daemon(), "SIGCONT");
    await until(() => dumpsOf(directory, "dmesg").length > 0, daemon.log);
    guest.goOn();
    const { output } = await guest.ended;
    await daemon.stop();

    const [oops, dump, ...others] = dumpsOf(directory, "dmesg");
    if (oops === undefined || dump === undefined) throw new Error(`a dump is missing: ${output}`);
    expect(others).toEqual([]);
    expect(oops).toMatchObject({ reason: "Oops", count: 1 });
    expect(isCutShort(oops)).toBe(true);
    expect(dump).toMatchObject({ reason: "Panic", count: 2 });
    expect(isCutShort(dump)).toBe(false);
    const text = dumpTexts(directory).at(-1) ?? "";
    expect(text).toContain("no answer in 1000 ms of a dump");
    expect(crashLines(text)).toEqual(upTo(lines));
    expect(text).toContain("Kernel panic - not syncing: sysrq triggered crash");
    expect(text).not.toContain("[virtio-pstore:");
  });

  it("costs a queue's dump once, none is waited for after that, and a late answer has the queue used again", async () => {
    const folder = temporaryFolder();
    const socket = join(folder, "socket");
    const directory = join(folder, "crashes");
    const daemon = await serve(
      ...["--types", "dmesg", "--socket-path", socket, "--directory", directory],
    );
    const oops = "echo 1 > /sys/module/crash/parameters/again; sleep 1";
    const guest = startGuest([
      ...(await crashGuest("6.1", {
        serial: "stdio",
        quiet: true,
        script: [
          "insmod /crash.ko how=lines; echo READY; read _",
          // One for each queue that an oops may use, and one that has none.
          `${oops}; ${oops}; ${oops}; echo OOPSED; read _`,
          `${oops}\n`,
        ].join("\n"),
      })),
      ...qemuDevice(socket),
    ]);
    await guest.printed("READY");
    process.kill(daemon.daemon(), "SIGSTOP");
    guest.goOn();
    await guest.printed("OOPSED");
    process.kill(daemon.daemon(), "SIGCONT");
    const counts = () =>
      dumpsOf(directory, "dmesg")
        .map(({ count }) => count)
        .sort();
    await until(() => counts().length >= 2, daemon.log);
    guest.goOn();
    await guest.ended;
    await daemon.stop();

    expect(counts()).toEqual([1, 2, 4]);
    const dumps = dumpsOf(directory, "dmesg");
    expect(dumps.map((dump) => [dump.count, isCutShort(dump)])).toContainEqual([4, false]);
    const text = dumpTexts(directory).at(-1) ?? "";
    expect(text.match(/BUG: kernel NULL pointer dereference/g)).toHaveLength(4);
    expect(text.match(/no answer in 1000 ms of a dump, taking the host for dead/g)).toHaveLength(2);
  });

  it("who writes to /dev/pmsg0 doesn't hold up the driver's unbinding", async () => {
    const folder = temporaryFolder();
    const socket = join(folder, "socket");
    const daemon = await serve(
      ...["--types", "dmesg,pmsg"],
      ...["--socket-path", socket, "--directory", join(folder, "crashes")],
    );
    const guest = startGuest([
      ...(await qemuGuest({
        kernel: "6.1",
        // QEMU stops the CPU that resets the device, until the host answers.
        arguments: ["-smp", "2"],
        script: [
          "umount /sys/fs/pstore; echo READY; read _",
          "(head -c 65536 /dev/zero > /dev/pmsg0; echo ENDED) &",
          "sleep 1; echo virtio0 > /sys/bus/virtio/drivers/virtio_pstore/unbind; echo UNBOUND\n",
        ].join("\n"),
      })),
      ...qemuDevice(socket),
    ]);
    await guest.printed("READY");
    process.kill(daemon.daemon(), "SIGSTOP");
    guest.goOn();
    await guest.printed("ENDED");
    process.kill(daemon.daemon(), "SIGCONT");
    const { output } = await guest.ended;
    await daemon.stop();
    expect(output).toContain("UNBOUND");
  });
});
