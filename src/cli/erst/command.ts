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
      "The file of `-object memory-backend-file,mem-path=FILE -device acpi-erst`, in which a guest without " +
        "our driver keeps its dumps. list, show, watch, stats, export and rm take such a file in place of a directory.",
    );
  for (const add of [addInfo, addCheck, addCreate, addWatch]) add(command);
}
