import { readFileSync } from "node:fs";
import { beforeAll, expect, it } from "vitest";
import { umlGuest } from "../../vm/guest.js";
import { prepare } from "../../vm/prepare.js";
import {
  crashLines,
  crashModule,
  describeGuests,
  dumpTexts,
  numbers,
  recordNames,
  runWithDevice,
  temporaryFolder,
  textOf,
  upTo,
} from "./support.js";

// CONFIG_PSTORE_CONSOLE and CONFIG_PSTORE_PMSG, which no kernel of Debian has.
describeGuests("a kernel with pstore's own console and pmsg", () => {
  // What it starts is ended where it hangs.
  beforeAll(() => prepare(["uml-pstore"]), 0);

  it("has each of its messages once, and those of user space, and shows them at the next boot", async () => {
    const directory = temporaryFolder();
    const types = ["--types", "dmesg,console,pmsg"];
    const first = await umlGuest({
      kernel: "uml-pstore",
      files: { "crash.ko": readFileSync(await crashModule("uml-pstore")) },
      script: [
        "ls /sys/class/*/pmsg0/dev; ls /sys/class/misc",
        "for n in 1 2 3; do echo message $n > /dev/pmsg0; done",
        "insmod /crash.ko how=panic lines=500\n",
      ].join("\n"),
    });
    const result = await runWithDevice(directory, first, ...types);
    // pstore's own device and class: the driver made no other beside them.
    expect(result.output).toContain("/sys/class/pmsg/pmsg0/dev");
    expect(result.output).not.toContain("/sys/class/misc/pmsg0");
    expect(textOf(directory, "pmsg"), result.output).toEqual(["message 1\nmessage 2\nmessage 3\n"]);

    const [text = "", ...others] = textOf(directory, "console");
    expect(others).toEqual([]);
    expect(crashLines(text)).toEqual(upTo(500));
    expect(text.match(/Linux version/g)).toHaveLength(1);
    expect(text.match(/Kernel panic - not syncing: crash: asked for/g)).toHaveLength(1);
    expect(text).not.toContain("[virtio-pstore:");
    const times = numbers(text, /^\[ *(\d+\.\d+)\]/gm);
    expect(times).toEqual([...times].sort((a, b) => a - b));

    const [dump = "", ...further] = dumpTexts(directory);
    expect(further).toEqual([]);
    expect(crashLines(dump)).toEqual(upTo(500));
    expect(recordNames(directory).sort()).toEqual(["console-1", "dmesg-3", "dmesg-4", "pmsg-2"]);

    // Of the console the newest 16 KiB: as much as a record may have there.
    const script =
      "cd /sys/fs/pstore; cat pmsg-virtio-2; grep -o 'crash-line 0*500' console-virtio-1\n";
    const second = await umlGuest({ kernel: "uml-pstore", script });
    const shown = await runWithDevice(directory, second, ...types);
    expect(shown.scriptStatus, shown.output).toBe(0);
    expect(shown.output.replaceAll("\r", "")).toContain(
      "message 1\nmessage 2\nmessage 3\ncrash-line 00000500\n",
    );
  });
});
