import { join } from "node:path";
import { expect, it } from "vitest";
import { kernelNames } from "../../vm/kernel.js";
import {
  crashGuest,
  crashLines,
  describeGuests,
  dumpTexts,
  numbers,
  qemuDevice,
  runWithDevice,
  serve,
  startGuest,
  temporaryFolder,
  textOf,
  upTo,
} from "./support.js";

describeGuests("a guest that was suspended", () => {
  it.each(kernelNames)("%s: the console goes on, and a panic is whole", async (kernel) => {
    const folder = temporaryFolder();
    const socket = join(folder, "socket");
    const directory = join(folder, "crashes");
    const daemon = await serve("--console", "--socket-path", socket, "--directory", directory);
    const argv = await crashGuest(kernel, {
      serial: "stdio",
      // Otherwise the guest boots anew instead of waking up.
      bzImage: true,
      arguments: ["-machine", "smm=off"],
      // A quarter of it is how long a suspend waits for the host, which other tests keep busy.
      driverParameters: { oops_timeout_ms: 20_000 },
      append: "panic=60",
      script: [
        "echo mark 1 > /dev/kmsg",
        "echo +2 > /sys/class/rtc/rtc0/wakealarm",
        "echo mem > /sys/power/state",
        "echo mark 2 > /dev/kmsg",
        "umount /sys/fs/pstore; mount -t pstore pstore /sys/fs/pstore && echo mark 3 > /dev/kmsg",
        "insmod /crash.ko how=panic lines=500\n",
      ].join("\n"),
    });
    const guest = startGuest([
      ...argv.filter((word) => word !== "-no-reboot"),
      ...qemuDevice(socket),
    ]);
    await guest.printed("Rebooting in 60 seconds");
    await daemon.stop();

    const [text = "", ...others] = textOf(directory, "console");
    expect(others).toEqual([]);
    const [dumped = ""] = dumpTexts(directory);
    for (const whole of [text, dumped]) {
      expect(numbers(whole, /mark (\d)$/gm)).toEqual(upTo(3));
      expect(whole).toMatch(/mark 1$.*suspend entry \(deep\).*suspend exit.*mark 2$/ms);
      expect(crashLines(whole)).toEqual(upTo(500));
      expect(whole).toContain("Kernel panic - not syncing: crash: asked for");
      expect(whole).not.toContain("lines lost");
    }
  });
});

describeGuests("a guest that reboots", () => {
  it("sends what it has printed before", async () => {
    const directory = join(temporaryFolder(), "crashes");
    const script = "for n in $(seq 20); do echo mark $n > /dev/kmsg; done; reboot -f\n";
    await runWithDevice(
      directory,
      await crashGuest("6.1", { serial: "none", script }),
      "--console",
    );
    const [text = ""] = textOf(directory, "console");
    expect(numbers(text, /mark (\d+)$/gm)).toEqual(upTo(20));
  });

  it("in the same QEMU begins another boot, which is shown the console of the one before", async () => {
    const directory = join(temporaryFolder(), "crashes");
    const script = [
      "boot=first",
      "ls /sys/fs/pstore | grep -q console-virtio- && boot=second",
      "echo mark $boot > /dev/kmsg",
      "[ $boot = second ] && poweroff -f",
      "reboot -f\n",
    ].join("\n");
    // QEMU boots anew only what came with firmware.
    const argv = await crashGuest("6.1", { serial: "none", bzImage: true, script });
    const words = argv.filter((word) => word !== "-no-reboot");
    const { ended } = await runWithDevice(directory, words, "--console");
    expect(ended).toBeNull();
    const marks = textOf(directory, "console").map((text) => [...text.matchAll(/mark (\w+)$/gm)]);
    expect(marks.map((found) => found.map(([, mark]) => mark))).toEqual([["first"], ["second"]]);
  });
});
