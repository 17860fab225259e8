import { type Resident, readUsage, residents, type Usage } from "../../memory/system/usage.js";
import { readTasks } from "../../memory/tasks/index.js";
import { formatSize } from "../../service/size.js";
import { tableLines } from "./text.js";
import type { View } from "./view.js";

/** So many processes are shown as text. */
const MOST = 10;

const ROWS: readonly [name: string, key: keyof Usage][] = [
  ["total", "total"],
  ["free", "free"],
  ["available", "available"],
  ["page cache", "pageCache"],
  ["  shared, tmpfs", "shared"],
  ["programs' own", "anonymous"],
  ["slab", "slab"],
  ["  reclaimable", "reclaimable"],
  ["kernel stacks", "stacks"],
  ["page tables", "pageTables"],
];

export const memory: View = {
  name: "memory",
  summary: "what the memory is used for, and which processes have most of it",

  show({ kernel }) {
    const usage = readUsage(kernel);
    const processes = residents(kernel, readTasks(kernel).tasks);
    return { lines: linesOf(usage, processes), json: () => ({ ...usage, processes }) };
  },
};

function linesOf(usage: Usage, processes: readonly Resident[]): string[] {
  const { swapTotal, swapFree } = usage;
  return [
    ...tableLines([
      ...ROWS.map(([name, key]) => [name, formatSize(usage[key])]),
      ...(swapTotal > 0
        ? [["swap", `${formatSize(swapTotal)}, ${formatSize(swapFree)} of it free`]]
        : []),
    ]),
    "",
    ...tableLines([
      ["PID", "RESIDENT", "NAME"],
      ...processes
        .slice(0, MOST)
        .map(({ pid, resident, name }) => [String(pid), formatSize(resident), name]),
    ]),
  ];
}
