import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { readFacts } from "../../src/analysis/title/index.js";
import { buildDriver } from "../../vm/build.js";
import { qemuGuest } from "../../vm/guest.js";
import { type KernelName, kernelNames } from "../../vm/kernel.js";
import { checkout } from "../../vm/paths.js";
import { type FaultName, faultTitles } from "../support/faults.js";
import { describeGuests, dumpTexts, runWithDevice, temporaryFolder } from "./support.js";

/** The kernel goes on after these. */
const oopses = ["null", "paging", "protection", "bug", "divide"] as const;
/** With panic_on_warn each of these is the end. */
const ends: readonly (readonly [KernelName, FaultName])[] = [
  ["6.1", "refcount"],
  ["6.12", "warn"],
];

/** Where the fixtures of src/analysis/title's tests are, which `RECORD_FAULTS=1` writes anew. */
const fixtures = join(checkout, "src", "report", "title", "fixtures");
/** A report is shorter. */
const FIXTURE_LINES = 130;

/** Boots a kernel where KASLR puts it, makes the faults, and gives each dump's text. */
async function dumpsOfFaults(kernel: KernelName, faults: readonly FaultName[]) {
  const { path } = await buildDriver(kernel, {
    directory: join(checkout, "test", "vm", "faults"),
    module: "faults",
  });
  const directory = temporaryFolder();
  const guest = await qemuGuest({
    kernel,
    // Only the boot code of a bzImage chooses an address.
    bzImage: true,
    files: { "faults.ko": readFileSync(path) },
    script: [
      "insmod /faults.ko",
      "echo 1 > /proc/sys/kernel/panic_on_warn",
      ...faults.map((fault) => `(echo ${fault} > /proc/fault)`),
    ].join("\n"),
  });
  const { output } = await runWithDevice(directory, guest);
  const texts = dumpTexts(directory);
  expect(texts, output).toHaveLength(faults.length);
  return texts.map((text) => text.split("\n"));
}

const facts = (dumps: readonly (readonly string[])[]) => dumps.map((lines) => readFacts(lines));
const kernelOffset = (lines: readonly string[] = []) =>
  lines.map((line) => /Kernel Offset: (0x[0-9a-f]+)/.exec(line)?.[1]).find(Boolean);

function record(kernel: KernelName, fault: FaultName, lines: readonly string[]): void {
  mkdirSync(fixtures, { recursive: true });
  const report = lines.slice(-FIXTURE_LINES).join("\n");
  writeFileSync(join(fixtures, `${kernel}-${fault}.txt`), report);
}

/** What the faults' dumps are read as; each has the fault's title. */
async function factsOfFaults(kernel: KernelName, faults: readonly FaultName[]) {
  const dumps = await dumpsOfFaults(kernel, faults);
  if (process.env.RECORD_FAULTS === "1") {
    for (const [index, fault] of faults.entries()) record(kernel, fault, dumps[index] ?? []);
  }
  const found = facts(dumps);
  expect(found.map(({ title }) => title)).toEqual(faults.map((fault) => faultTitles[fault]));
  return found;
}

describeGuests("titles of crashes", () => {
  it.each(kernelNames)("each fault has its own, and who ran is told, Linux %s", async (kernel) => {
    const found = await factsOfFaults(kernel, oopses);
    for (const { release, cpu, task, pid, taint, frames } of found) {
      expect(release).toContain(kernel.split(".", 1)[0]);
      expect({ cpu, task }).toEqual({ cpu: 0, task: "sh" });
      expect(pid).toBeGreaterThan(1);
      // An out-of-tree module was loaded.
      expect(taint).toContain("O");
      expect(frames.join(" ")).toContain("fault_write");
    }
    const signatures = new Set(found.map(({ signature }) => signature));
    expect(signatures.size).toBe(oopses.length);
  });

  it.each(ends)("Linux %s ends with a warning: %s", async (kernel, fault) => {
    await factsOfFaults(kernel, [fault]);
  });

  it("a fault in two boots has one signature, wherever KASLR put the kernel", async () => {
    const boots = [];
    for (let boot = 0; boot < 2; boot++) boots.push(await dumpsOfFaults("6.12", ["warn"]));
    const [first = [], second = []] = boots;
    expect(kernelOffset(first.at(-1))).not.toBe(kernelOffset(second.at(-1)));
    const signatures = boots.map((dumps) => facts(dumps).map(({ signature }) => signature));
    expect(signatures[0]).toEqual(signatures[1]);
  });
});
