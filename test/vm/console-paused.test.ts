import { join } from "node:path";
import { expect, it } from "vitest";
import {
  crashGuest,
  describeGuests,
  qemuDevice,
  serve,
  startGuest,
  temporaryFolder,
  textOf,
} from "./support.js";

describeGuests("the console where the host pauses", () => {
  it("a host that stalls: printk goes on, and what was lost is counted where it is missing", async () => {
    const folder = temporaryFolder();
    const socket = join(folder, "socket");
    const directory = join(folder, "crashes");
    const daemon = await serve(
      ...[
        "--console",
        "--rate=off",
        "--rate-requests=off",
        "--socket-path",
        socket,
        "--directory",
        directory,
      ],
    );
    const lines = 20_000;
    const guest = startGuest([
      ...(await crashGuest("6.1", {
        serial: "stdio",
        quiet: true,
        script: [
          "echo READY; read _",
          `insmod /crash.ko how=lines lines=${lines}; echo PRINTED; read _`,
          "sleep 3; echo after the pause > /dev/kmsg; sleep 1\n",
        ].join("\n"),
      })),
      ...qemuDevice(socket),
    ]);
    await guest.printed("READY");
    process.kill(daemon.daemon(), "SIGSTOP");
    guest.goOn();
    await guest.printed("PRINTED");
    process.kill(daemon.daemon(), "SIGCONT");
    guest.goOn();
    const { output } = await guest.ended;
    await daemon.stop();

    const [text = "", ...others] = textOf(directory, "console");
    expect(others, output).toEqual([]);
    expect(text).toContain("after the pause");
    // Wherever numbers are missing, the line between says how many; so the two agree line by line.
    let last = 0;
    let lost = 0;
    for (const [, number, count] of text.matchAll(
      /crash-line (\d{8}) |\[virtio-pstore: (\d+) lines lost\]/g,
    )) {
      if (count !== undefined) lost += Number(count);
      last += count === undefined ? 1 : Number(count);
      if (number !== undefined) expect(last).toBe(Number(number));
    }
    expect(last).toBe(lines);
    expect(lost).toBeGreaterThan(0);
  });

  it("a host that stalls: who writes to /dev/pmsg0 gets an error", async () => {
    const folder = temporaryFolder();
    const socket = join(folder, "socket");
    const daemon = await serve(
      ...["--types", "dmesg,pmsg", "--socket-path", socket],
      ...["--directory", join(folder, "crashes")],
    );
    const write = "dd if=/dev/zero of=/dev/pmsg0 bs=4k count=1024";
    const guest = startGuest([
      ...(await crashGuest("6.1", {
        serial: "stdio",
        script: `echo READY; read _; ${write}; echo WROTE $?; sleep 1\n`,
      })),
      ...qemuDevice(socket),
    ]);
    await guest.printed("READY");
    process.kill(daemon.daemon(), "SIGSTOP");
    guest.goOn();
    await guest.printed("WROTE 1");
    process.kill(daemon.daemon(), "SIGCONT");
    expect((await guest.ended).output).toContain("Input/output error");
    await daemon.stop();
  });
});
