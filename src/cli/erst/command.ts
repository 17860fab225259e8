import type { Command } from "commander";
import { addCheck } from "./check.js";
import { addCreate } from "./create.js";
import { addInfo } from "./info.js";
import { addWatch } from "./watch.js";

export function addErst(program: Command): void {
  const command = program
    .command("erst")
    .helpCommand(false)
    .summary("look at and make the file behind QEMU's acpi-erst device")
    .description(
      "A guest without our driver keeps its dumps in the file behind QEMU's acpi-erst device. list, show, watch, " +
        "stats, export and rm take such a file instead of a directory. These commands are for the file itself.",
    );
  for (const add of [addInfo, addCheck, addCreate, addWatch]) add(command);
}
