import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { buildErstTable, FIRST_PORT } from "../../src/erst/table.js";
import { inRoot } from "../../vm/chroot.js";
import { qemuGuest, runGuest } from "../../vm/guest.js";
import { kernelNames } from "../../vm/kernel.js";
import { inVm } from "../../vm/paths.js";
import { describeGuests, temporaryFolder } from "./support.js";

/** In the middle of a guest's 256 MiB. */
const BASE = 0x800_0000;

function tableFile(bytes: number): string {
  const path = join(temporaryFolder(), "erst.aml");
  writeFileSync(path, buildErstTable({ port: FIRST_PORT.ich9, base: BASE, bytes }));
  return path;
}

describeGuests("the port device's ACPI table", () => {
  it("is disassembled by iasl without a complaint", async () => {
    const root = inVm("bookworm");
    const folder = "/build/erst";
    onTestFinished(() => {
      rmSync(join(root, folder), { recursive: true, force: true });
    });
    mkdirSync(join(root, folder), { recursive: true });
    cpSync(tableFile(4 << 20), join(root, folder, "erst.aml"));
    const command = ["iasl", "-d", "erst.aml"];
    const { status, output } = await inRoot(root, command, { cwd: folder });
    expect(status, output).toBe(0);
    expect(output).not.toMatch(/warning|invalid|unknown|exception|failed|errors?:/i);
    const { output: text } = await inRoot(root, ["cat", "erst.dsl"], { cwd: folder });
    expect(text).not.toMatch(/invalid|unknown|\*\*\*/i);
    expect(text.match(/Action : /g)).toHaveLength(18);
    expect(text).toContain("[Get Error Log Address Length]");
  });

  it.each(kernelNames)("is taken by Linux %s, which registers erst", async (kernel) => {
    // No ports are there: all read as ones, as the device's execute register does.
    const bytes = kernel === "6.1" ? 8192 : 4 << 20;
    const { output } = await runGuest(
      await qemuGuest({
        kernel,
        driver: false,
        append: `memmap=${bytes / 1024}K$0x${BASE.toString(16)}`,
        arguments: ["-acpitable", `file=${tableFile(bytes)}`],
        script: "dmesg | grep -E 'ERST|pstore'; grep -i 'APEI ERST' /proc/iomem /proc/ioports\n",
      }),
    );
    expect(output).toContain("Error Record Serialization Table (ERST) support is initialized.");
    expect(output).toContain("Registered erst as persistent store backend");
    const [first, last] = [BASE + 8, BASE + bytes - 1];
    const range = [first, last].map((at) => at.toString(16).padStart(8, "0")).join("-");
    expect(output).toContain(`${range} : APEI ERST`);
    expect(output).toContain("0a20-0a22 : APEI ERST");
    expect(output).toContain("0a24-0a2f : APEI ERST");
  });
});
