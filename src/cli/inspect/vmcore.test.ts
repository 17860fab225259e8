import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { GREETING, monitor, OK, status } from "../../../test/support/qmp-monitor.js";
import { tinyKernel } from "../../../test/support/tiny-kernel.js";
import { type Kernel, openKernel } from "../../memory/kernel/index.js";
import { Notes } from "../../memory/kernel/notes.js";
import type { Looked } from "./view.js";
import { vmcore } from "./vmcore.js";

/** Of a small kernel; `seen` is called where it is looked for. */
function lookedAt(pause: string, seen: () => void = () => undefined) {
  const folder = mkdtempSync(join(tmpdir(), "virtio-pstore-core-"));
  const output = join(folder, "core");
  const warned = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  onTestFinished(() => {
    warned.mockRestore();
    rmSync(folder, { recursive: true });
  });
  const { memory } = tinyKernel();
  let kernel: Kernel | undefined;
  const looked: Looked = {
    ...{ source: "tiny", memory, notes: new Notes() },
    options: { output, format: "elf", pause },
    get kernel() {
      seen();
      kernel ??= openKernel(memory);
      return kernel;
    },
  };
  return { looked, output };
}

test("the kernel is looked for before the guest is paused", async () => {
  const { path, told } = await monitor(GREETING, [OK, status(true), OK, '{"return": ""}\n', OK]);
  const { looked, output } = lookedAt(path, () => told.push("the kernel"));
  await vmcore.show(looked);
  expect(existsSync(output)).toBe(true);
  expect(told).toEqual([
    ...["the kernel", "qmp_capabilities", "query-status", "stop"],
    ...["human-monitor-command", "cont"],
  ]);
});

test("where --pause finds no monitor, that is said of the socket, not of the core", async () => {
  const { looked, output } = lookedAt("/nonexistent/qmp");
  await expect(vmcore.show(looked)).rejects.toThrow(
    /^\/nonexistent\/qmp: QEMU's monitor: connect ENOENT .*no such file or directory$/,
  );
  expect(existsSync(output)).toBe(false);
});

test("a core that can't be written is said so also where the guest was paused", async () => {
  const { path, told } = await monitor(GREETING, [OK, status(true), OK, '{"return": ""}\n', OK]);
  const { looked } = lookedAt(path);
  const options = { ...looked.options, output: "/nonexistent/core" };
  await expect(vmcore.show({ ...looked, options })).rejects.toThrow(
    "/nonexistent/core can't be written: no such file or directory",
  );
  expect(told.at(-1)).toBe("cont");
});
