import { join } from "node:path";
import { findRecords, recordBytes } from "../../src/analysis/index.js";
import type { SoakGuest } from "./guest.js";

/**
 * Compares a guest's directory with what the guest was told: everything acknowledged is there, whole and
 * once; nothing is there twice, or in part, or that wasn't sent. Returns one line for each thing wrong.
 */
export function checkGuest(directory: string, guest: SoakGuest): string[] {
  const wrong: string[] = [];
  const dumps = new Map<string, number>();
  const lines = new Map<string, number>();
  const count = (map: Map<string, number>, text: string) => map.set(text, (map.get(text) ?? 0) + 1);
  let printed = "";
  for (const record of findRecords(join(directory, guest.name))) {
    const text = Buffer.concat([...recordBytes(record)]).toString("latin1");
    if (record.type === "dmesg") count(dumps, text);
    else printed += text;
  }
  for (const line of printed.split("\n")) {
    if (line.startsWith(`${guest.name} `)) count(lines, `${line}\n`);
  }
  for (const { type, text, ret } of guest.sent) {
    const there = (type === "dmesg" ? dumps : lines).get(text) ?? 0;
    const what = `${type} ${text.slice(0, 60).trim()}`;
    if (ret === 0 && there !== 1) wrong.push(`${what}: acknowledged, and there ${there} times`);
    if (ret !== 0 && there > 1) wrong.push(`${what}: not acknowledged, and there ${there} times`);
  }
  const sent = new Set(guest.sent.map(({ text }) => text));
  for (const text of [...dumps.keys(), ...lines.keys()]) {
    if (!sent.has(text)) wrong.push(`${guest.name} has what was never sent: ${text.slice(0, 60)}`);
  }
  return wrong;
}
