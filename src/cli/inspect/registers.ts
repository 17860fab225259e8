import { Option } from "commander";
import { Qmp } from "../../formats/erst/qmp.js";
import { parseRegisters, type QemuCpu } from "../../memory/stacks/qemu-registers.js";
import { errorLine, UserError } from "../../service/errors.js";
import type { Looked } from "./view.js";

/** The views that are better with registers share it. */
export const qmpOption = new Option(
  "--qmp <socket>",
  "stacks, cpus: take the CPUs' registers from QEMU's monitor (-qmp unix:SOCKET,server=on,wait=off)",
);

/** The CPUs' registers by their numbers, now; none where nothing tells them. */
export async function readRegisters({ options }: Looked): Promise<ReadonlyMap<number, QemuCpu>> {
  const { qmp: path } = options;
  if (typeof path !== "string") return new Map();
  try {
    const qmp = await Qmp.open(path);
    try {
      const command = { "command-line": "info registers -a" };
      const told = await qmp.execute("human-monitor-command", command);
      return parseRegisters(typeof told === "string" ? told : "");
    } finally {
      qmp.close();
    }
  } catch (error) {
    throw new UserError(`${path}: no registers from QEMU's monitor: ${errorLine(error)}`);
  }
}
