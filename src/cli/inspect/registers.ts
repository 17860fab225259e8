import { Option } from "commander";
import { Qmp } from "../../formats/erst/qmp.js";
import { parseRegisters, type QemuCpu } from "../../memory/stacks/qemu-registers.js";
import { errorLine, UserError } from "../../service/errors.js";
import type { Looked } from "./view.js";

/** The views that are better with registers share it. */
export const qmpOption = new Option(
  "--qmp <socket>",
  "stacks, cpus, vmcore: take the CPUs' registers from QEMU's monitor (-qmp unix:SOCKET,server=on,wait=off)",
);

/** What is known of a CPU. */
export type KnownCpu = Pick<QemuCpu, "registers"> & Partial<QemuCpu>;

/** The CPUs' registers by their numbers: QEMU's now, or those in a core; none where nothing tells them. */
export async function readRegisters({
  memory,
  options,
}: Looked): Promise<ReadonlyMap<number, KnownCpu>> {
  const { qmp: path } = options;
  if (typeof path !== "string") {
    return new Map([...(memory.registers ?? [])].map(([cpu, registers]) => [cpu, { registers }]));
  }
  try {
    const qmp = await Qmp.open(path);
    try {
      return await askRegisters(qmp);
    } finally {
      qmp.close();
    }
  } catch (error) {
    throw new UserError(`${path}: no registers from QEMU's monitor: ${errorLine(error)}`);
  }
}

/** Asks QEMU. Throws where it doesn't tell. */
export async function askRegisters(qmp: Qmp): Promise<ReadonlyMap<number, KnownCpu>> {
  const command = { "command-line": "info registers -a" };
  const told = await qmp.execute("human-monitor-command", command);
  return parseRegisters(typeof told === "string" ? told : "");
}
