import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect, it } from "vitest";
import { readEnds } from "../../src/records/index.js";
import { qemuGuest, umlGuest } from "../../vm/guest.js";
import { until } from "../support/patience.js";
import {
  describeGuests,
  panic,
  program,
  qemuDevice,
  runWithDevice,
  serve,
  startGuest,
  temporaryFolder,
} from "./support.js";

const kernel = "6.12";

describeGuests("how a guest ended is known, and kept, when", () => {
  it("it powers off, is killed, panics, reboots, and is a user-mode-linux", async () => {
    const folder = temporaryFolder();
    const crashes = join(folder, "crashes");
    const names = ["off", "killed", "panicked", "again", "uml"] as const;
    const socketOf = (name: (typeof names)[number]) => join(folder, `${name}.socket`);
    const guests = names.flatMap((name) => ["--guest", `${name}=${socketOf(name)}`]);
    const daemon = await serve(...guests, "--directory", crashes, "--console");
    const qemu = async (name: (typeof names)[number], script: string, append = "") =>
      startGuest([...(await qemuGuest({ kernel, script, append })), ...qemuDevice(socketOf(name))]);
    const endsOf = (name: (typeof names)[number]) =>
      readEnds(join(crashes, name)).map(({ kind }) => kind);
    const ended = (name: (typeof names)[number]) =>
      until(
        () => endsOf(name).length > 0,
        () => `${name}'s end isn't kept: ${daemon.log()}`,
      );

    const off = await qemu("off", "echo off\n");
    const killed = await qemu("killed", "echo the last line > /dev/kmsg; echo READY; read _\n");
    await killed.printed("READY");
    // What its guest does, and since when it does, isn't the daemon's alone.
    process.kill(daemon.daemon(), "SIGKILL");
    await until(
      () => daemon.log().includes("was started again"),
      () => daemon.log(),
    );
    process.kill(killed.pid, "SIGKILL");
    await Promise.all([off.ended, ended("off"), ended("killed")]);

    // Its device runs until it is killed: a dump is there.
    const panicked = await qemu("panicked", panic, "panic=0");
    const uml = startGuest([
      ...(await umlGuest({ script: "echo off\n" })),
      `virtio_uml.device=${socketOf("uml")}:22`,
    ]);
    await panicked.printed("---[ end Kernel panic");
    process.kill(panicked.pid, "SIGKILL");
    await Promise.all([uml.ended, ended("panicked"), ended("uml")]);

    const argv = await qemuGuest({ kernel, script: "echo READY; read _; reboot -f\n" });
    const again = startGuest([
      ...argv.filter((word) => word !== "-no-reboot"),
      ...qemuDevice(socketOf("again")),
    ]);
    await again.printed("READY");
    again.goOn();
    await until(
      () => again.output().split("READY").length > 2,
      () => again.output(),
    );
    // A reboot ends no guest.
    expect(endsOf("again")).toEqual([]);
    process.kill(again.pid, "SIGTERM");
    await ended("again");

    expect(await daemon.stop(), daemon.log()).toBe(0);
    expect(Object.fromEntries(names.map((name) => [name, endsOf(name)]))).toEqual({
      off: ["stopped"],
      killed: ["without-dump"],
      panicked: ["dumped"],
      again: ["stopped"],
      uml: ["unknown"],
    });
    expect(daemon.log()).toMatch(/killed: warn: the guest ended without a dump: .* \[NO_DUMP\]/);
    expect(daemon.log().match(/\[NO_DUMP\]/g)).toHaveLength(1);
    const list = execFileSync(program, ["list", crashes], { encoding: "utf8" });
    expect(list).toMatch(/^killed\/- .* ended without a dump; console-1 ends: .*the last line$/m);
    expect(list.trimEnd().split("\n").slice(1)).toHaveLength(2);
  });

  it("its driver never came: run says so, and what to look at", async () => {
    const directory = temporaryFolder();
    const guest = await qemuGuest({ kernel, driver: false, script: "echo off\n" });
    const { status, output } = await runWithDevice(directory, guest);
    expect(status, output).toBe(0);
    expect(output).toMatch(
      /the guest ended, and its driver never came: look in the guest .*NO_DRIVER/,
    );
    expect(readEnds(directory).map(({ kind }) => kind)).toEqual(["no-driver"]);
  });

  it("a driver came and its guest powered off: run has nothing to say of that", async () => {
    const directory = temporaryFolder();
    const guest = await qemuGuest({ kernel, script: "echo off\n" });
    const { output } = await runWithDevice(directory, guest);
    expect(output.split("\n").filter((line) => /^virtio-pstore: /.test(line))).toEqual([
      expect.stringContaining("driver started"),
    ]);
    expect(readEnds(directory).map(({ kind }) => kind)).toEqual(["stopped"]);
  });
});
