import { beforeAll, expect, it } from "vitest";
import { prepare } from "../../vm/prepare.js";
import { umlBuiltinProgram } from "../../vm/uml-builtin.js";
import {
  describeGuests,
  dumpsOf,
  dumpTexts,
  runWithDevice,
  temporaryFolder,
  textOf,
} from "./support.js";

/** A kernel that has neither an initramfs nor a root file system. */
const withoutRoot = (...parameters: readonly string[]): string[] => [
  ...[umlBuiltinProgram, "mem=128M", "con=null", "con0=null,fd:1", "ssl=null"],
  ...parameters,
];

describeGuests("a kernel with the driver built in", () => {
  // What it starts is ended where it hangs.
  beforeAll(() => prepare(["uml-builtin"]), 0);

  it("has the host know of a missing root file system, from the log's first line on", async () => {
    const directory = temporaryFolder();
    const guest = withoutRoot("initcall_debug", "virtio_pstore.dump=reference");
    const { output } = await runWithDevice(
      directory,
      guest,
      ...["--types", "dmesg,console,ftrace", "--max-data", "4K"],
    );
    const [dump, ...others] = dumpsOf(directory, "dmesg");
    if (dump === undefined) throw new Error(`no dump: ${output}`);
    expect(others).toEqual([]);
    const text = dumpTexts(directory)[0] ?? "";
    const lines = text.split("\n");
    expect(lines[0]).toMatch(/Linux version 6\.1\./);
    expect(text).toContain("Kernel panic - not syncing: VFS: Unable to mount root fs");
    expect(dump.parts.length).toBeGreaterThan(4);
    // Parameters are given on the kernel's command line.
    expect(text).toContain("the log can't be read where it lies: dumps are raw");
    expect(text).toContain(`boot id ${dump.boot}, as there is no /proc yet`);

    // It is there as soon as virtio finds the device.
    const at = (what: string) => lines.findIndex((line) => line.includes(what));
    expect(at("calling  virtio_uml_init")).toBeGreaterThan(0);
    expect(at("probe of virtio0 returned 0")).toBeGreaterThan(at("calling  virtio_uml_init"));
    expect(at("initcall virtio_uml_init")).toBeGreaterThan(at("probe of virtio0 returned 0"));

    const [console = "", ...further] = textOf(directory, "console");
    expect(further).toEqual([]);
    expect(console.match(/Linux version/g)).toHaveLength(1);
    expect(console).toContain("Kernel panic - not syncing: VFS: Unable to mount root fs");
  });
});
