import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { qemuGuest, umlGuest } from "../../vm/guest.js";
import {
  describeGuests,
  dumpTexts,
  panic,
  qemuDevice,
  runWithDevice,
  serve,
  startGuest,
  temporaryFolder,
} from "./support.js";

describeGuests("the back-end and the guest", () => {
  it.each([
    ["is killed", "SIGKILL"],
    ["hangs", "SIGSTOP"],
  ] as const)("a back-end that %s doesn't hang a dying guest", async (_, signal) => {
    const folder = temporaryFolder();
    const socket = join(folder, "socket");
    const daemon = await serve("--socket-path", socket, "--directory", join(folder, "crashes"));
    const script = `echo READY; read _\n${panic}`;
    const guest = startGuest([
      ...(await qemuGuest({ kernel: "6.1", script, append: "panic=0" })),
      ...qemuDevice(socket),
    ]);
    await guest.printed("READY");
    // The supervisor takes its daemon with it; a daemon alone that died would be replaced.
    process.kill(signal === "SIGKILL" ? daemon.pid : daemon.daemon(), signal);
    guest.goOn();
    await guest.printed("---[ end Kernel panic");
  });

  it("a directory that was removed and made again: the panic that finds it so is stored there", async () => {
    const folder = temporaryFolder();
    const [socket, crashes] = [join(folder, "socket"), join(folder, "crashes")];
    const daemon = await serve("--socket-path", socket, "--directory", crashes);
    const guest = startGuest([
      ...(await qemuGuest({
        kernel: "6.1",
        script: `echo READY; read _\n${panic}`,
        // However busy the host is as it starts another daemon.
        driverParameters: { panic_timeout_ms: 300_000 },
      })),
      ...qemuDevice(socket),
    ]);
    await guest.printed("READY");
    rmSync(crashes, { recursive: true });
    mkdirSync(crashes);
    guest.goOn();
    const { output } = await guest.ended;
    expect(await daemon.stop(), daemon.log()).toBe(0);
    const [text, ...others] = dumpTexts(crashes);
    expect(others).toEqual([]);
    expect(text, output).toContain("Kernel panic - not syncing: sysrq triggered crash");
    expect(daemon.log().match(/front-end connected/g)).toHaveLength(1);
  });

  it("two guests at once on one daemon, one QEMU and one user-mode-linux", async () => {
    const folder = temporaryFolder();
    const sockets = { q: join(folder, "q.socket"), u: join(folder, "u.socket") };
    const crashes = join(folder, "crashes");
    const daemon = await serve(
      ...["--guest", `q=${sockets.q}`, "--guest", `u=${sockets.u}`, "--directory", crashes],
    );
    const script = (name: string) => `echo I am guest ${name} > /dev/kmsg\n${panic}`;
    const guests = [
      startGuest([
        ...(await qemuGuest({ kernel: "6.12", script: script("q") })),
        ...qemuDevice(sockets.q),
      ]),
      startGuest([
        ...(await umlGuest({ script: script("u") })),
        `virtio_uml.device=${sockets.u}:22`,
      ]),
    ];
    await Promise.all(guests.map(({ ended }) => ended));
    expect(await daemon.stop(), daemon.log()).toBe(0);
    expect(dumpTexts(join(crashes, "q"))[0]).toContain("I am guest q");
    expect(dumpTexts(join(crashes, "u"))[0]).toContain("I am guest u");
    expect(dumpTexts(join(crashes, "q"))).toHaveLength(1);
    expect(dumpTexts(join(crashes, "u"))).toHaveLength(1);
    // Descriptors pass between threads there, of which Node would warn if it kept books of them.
    expect(daemon.log()).not.toContain("Warning");
  });

  it("one daemon serves one guest after another", async () => {
    const folder = temporaryFolder();
    const socket = join(folder, "socket");
    const crashes = join(folder, "crashes");
    const daemon = await serve("--socket-path", socket, "--directory", crashes);
    for (let boot = 0; boot < 2; boot++) {
      const argv = await umlGuest({ script: panic });
      await startGuest([...argv, `virtio_uml.device=${socket}:22`]).ended;
    }
    expect(await daemon.stop()).toBe(0);
    expect(dumpTexts(crashes)).toHaveLength(2);
  });

  it("the driver can be unloaded and loaded again", async () => {
    const directory = temporaryFolder();
    const script = [
      "set -e",
      "umount /sys/fs/pstore",
      "rmmod virtio_pstore",
      "insmod /modules/virtio_pstore.ko",
      panic,
    ].join("\n");
    await runWithDevice(directory, await qemuGuest({ kernel: "6.1", script }));
    expect(dumpTexts(directory)).toHaveLength(1);
  });

  it("a guest whose pstore has another source says so in one line and boots on", async () => {
    const folder = temporaryFolder();
    const guest = await qemuGuest({
      kernel: "6.1",
      script: "dmesg | grep -i pstore; echo booted\n",
      arguments: [
        "-object",
        `memory-backend-file,id=erst,mem-path=${join(folder, "erst")},size=64K,share=on`,
        "-device",
        "acpi-erst,memdev=erst",
      ],
    });
    const result = await runWithDevice(join(folder, "crashes"), guest);
    expect(result.scriptStatus, result.output).toBe(0);
    const lines = result.output.split("\n").filter((line) => /virtio_pstore virtio\d+:/.test(line));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain("pstore has another source");
  });
});
