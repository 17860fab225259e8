import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { qemuGuest, umlGuest } from "../../vm/guest.js";
import {
  crashModule,
  describeGuests,
  dumpTexts,
  panic,
  recordNames,
  runWithDevice,
  temporaryFolder,
} from "./support.js";

describeGuests("dumps", () => {
  it("an oops without a panic is stored, and the guest lives on", async () => {
    const directory = temporaryFolder();
    const guest = await qemuGuest({
      kernel: "6.1",
      script: "insmod /crash.ko how=oops; sleep 1; echo the guest lives on\n",
      files: { "crash.ko": readFileSync(await crashModule("6.1")) },
    });
    const result = await runWithDevice(directory, guest);
    expect(result.scriptStatus, result.output).toBe(0);
    expect(result.output).toContain("the guest lives on");
    const [text, ...others] = dumpTexts(directory);
    expect(others).toEqual([]);
    expect(text).toContain("BUG: kernel NULL pointer dereference");
    expect(text).toContain("crash_write_null");
  });

  it("an oops and then a panic are two dumps", async () => {
    const directory = temporaryFolder();
    const guest = await qemuGuest({
      kernel: "6.12",
      script: `insmod /crash.ko how=oops; sleep 1\n${panic}`,
      files: { "crash.ko": readFileSync(await crashModule("6.12")) },
    });
    await runWithDevice(directory, guest);
    const texts = dumpTexts(directory);
    expect(texts).toHaveLength(2);
    expect(texts[0]).not.toContain("Kernel panic");
    expect(texts[1]).toContain("Kernel panic - not syncing: sysrq triggered crash");
  });

  it("a long log comes in several parts, and no line is lost", async () => {
    const directory = temporaryFolder();
    const lines = 3000;
    const guest = await qemuGuest({
      kernel: "6.1",
      append: "printk.devkmsg=on log_buf_len=1M",
      driverParameters: { dump: "classic" },
      pstoreMount: "kmsg_bytes=1048576",
      quiet: true,
      script: [
        // Text that deflate can't make small.
        `awk 'BEGIN { srand(1); for (n = 0; n < ${lines}; n++) {`,
        '  s = ""; for (i = 0; i < 8; i++) s = s sprintf("%07d", rand() * 10000000);',
        '  printf "line %d %s\\n", n, s > "/dev/kmsg"; fflush("/dev/kmsg") } }\'',
        panic,
      ].join("\n"),
    });
    const result = await runWithDevice(directory, guest);
    expect(recordNames(directory).length, result.output).toBeGreaterThan(3);
    const texts = dumpTexts(directory);
    expect(texts).toHaveLength(1);
    const numbers = [...(texts[0] ?? "").matchAll(/\] line (\d+) /g)].map((match) =>
      Number(match[1]),
    );
    expect(numbers).toEqual(Array.from({ length: lines }, (_, n) => n));
  });

  it("the next boot reads the records in /sys/fs/pstore and erases them; the host keeps them", async () => {
    const directory = temporaryFolder();
    await runWithDevice(
      directory,
      await umlGuest({ script: `echo first boot > /dev/kmsg\n${panic}` }),
    );
    const script =
      "ls /sys/fs/pstore; cat /sys/fs/pstore/dmesg-*; rm /sys/fs/pstore/*; echo erased\n";
    const second = await runWithDevice(directory, await umlGuest({ script }));
    expect(second.output).toMatch(/dmesg-virtio\S*-1\b/);
    expect(second.output).toContain("first boot");
    expect(second.output).toContain("erased");
    const third = await runWithDevice(
      directory,
      await umlGuest({ script: "ls -A /sys/fs/pstore\n" }),
    );
    expect(third.scriptStatus).toBe(0);
    expect(third.output).not.toContain("dmesg-");
    expect(recordNames(directory)).toContain("dmesg-1");
    expect(dumpTexts(directory)[0]).toContain("first boot");
  });

  it("with --on-erase=remove the next boot's erasing removes exactly the file it names", async () => {
    const directory = temporaryFolder();
    for (const boot of ["one", "two"]) {
      const script = `echo boot ${boot} > /dev/kmsg\n${panic}`;
      const guest = await umlGuest({ script, driverParameters: { dump: "classic" } });
      await runWithDevice(directory, guest, "--on-erase=remove");
    }
    const script = "rm /sys/fs/pstore/dmesg-virtio-2*; ls /sys/fs/pstore\n";
    const result = await runWithDevice(directory, await umlGuest({ script }), "--on-erase=remove");
    expect(result.scriptStatus, result.output).toBe(0);
    expect(recordNames(directory)).toEqual(["dmesg-1.enc.z"]);
  });

  it("a stale record of a former boot stays apart from a new panic's", async () => {
    const directory = temporaryFolder();
    for (const boot of ["stale", "fresh"]) {
      const script = `echo a ${boot} boot > /dev/kmsg\n${panic}`;
      await runWithDevice(directory, await qemuGuest({ kernel: "7.3", script }));
    }
    const texts = dumpTexts(directory);
    expect(texts).toHaveLength(2);
    expect(texts[0]).toContain("a stale boot");
    expect(texts[1]).toContain("a fresh boot");
    expect(texts[1]).not.toContain("a stale boot");
  });
});
