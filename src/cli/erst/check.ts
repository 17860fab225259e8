import type { Command } from "commander";
import { findDamage } from "../../formats/erst/index.js";
import { writeLine } from "../stdout.js";
import { withErst } from "./open.js";

export function addCheck(erst: Command): void {
  erst
    .command("check")
    .summary("whether an ERST file is whole; exit status 1 where it isn't")
    .description(
      "Checks the header, the map of record ids, and each record down to its sections. " +
        "A line on stdout tells each fault, with its offset in the file. Nothing is changed.",
    )
    .argument("<file>", "the acpi-erst device's file")
    .action(check);
}

async function check(path: string): Promise<void> {
  const damage = withErst(path, (file, header) =>
    header === undefined ? [] : findDamage(file, header),
  );
  for (const line of damage) await writeLine(`${path}: ${line}`);
  if (damage.length > 0) process.exitCode = 1;
}
