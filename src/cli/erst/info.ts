import type { Command } from "commander";
import {
  describeCper,
  type ErstHeader,
  type ErstSlot,
  payloadOf,
  timeOf,
} from "../../formats/erst/index.js";
import { printableJson } from "../../records/index.js";
import { formatSize } from "../../service/size.js";
import { writeLine, writeOut } from "../stdout.js";
import { withErst } from "./open.js";

export function addInfo(erst: Command): void {
  erst
    .command("info")
    .summary("what an ERST file is, and what each used slot holds")
    .description("Prints what the file is, and what each used slot holds. QEMU may be running.")
    .argument("<file>", "the acpi-erst device's file")
    .option("--json", "print a JSON object", false)
    .action((path: string, { json }: { json: boolean }) => info(path, json));
}

async function info(path: string, json: boolean): Promise<void> {
  const { header, slots } = withErst(path, (file, found) => ({
    header: found,
    slots: file.slots(found),
  }));
  if (json) {
    const all = { path, header: header ?? null, slots: slots.map(jsonSlot) };
    await writeOut(`${printableJson(all, 2)}\n`);
    return;
  }
  const lines = header === undefined ? [`${path}: not used by a QEMU yet`] : describe(path, header);
  for (const line of [...lines, ...slots.map(slotLine)]) await writeLine(line);
}

function describe(path: string, header: ErstHeader): string[] {
  const { fileBytes, recordSize, firstSlot, slots, recordCount } = header;
  return [
    `${path}: ${formatSize(fileBytes)}, records of at most ${formatSize(recordSize)}`,
    `${recordCount} of ${slots - firstSlot} slots used`,
  ];
}

function slotLine({ index, id, record, damage }: ErstSlot): string {
  const name = `slot ${index}: record 0x${id.toString(16)}`;
  if (record === undefined) return `${name}, damaged: ${damage}`;
  const time = timeOf(record)?.toISOString() ?? "no time";
  return `${name}, ${time}, ${record.length} bytes, ${describeCper(record)}`;
}

function jsonSlot({ index, id, offset, record, damage }: ErstSlot): unknown {
  const slot = { index, id: `0x${id.toString(16)}`, offset };
  if (record === undefined) return { ...slot, damage };
  const { creator, severity, length, sections } = record;
  const time = timeOf(record)?.toISOString() ?? null;
  return { ...slot, time, type: payloadOf(record).type, creator, severity, length, sections };
}
