import { existsSync } from "node:fs";
import { ErstError, ErstFile, expectUnused } from "../../formats/erst/index.js";
import { UserError } from "../../service/errors.js";
import { DEFAULT_RECORD_SIZE, DEFAULT_SIZE } from "../erst/create.js";
import { erstError, withErst } from "../erst/open.js";
import { checkForeground, deviceHelp } from "./qemu.js";
import { escaped } from "./qemu-options.js";

const DEVICE = "acpi-erst";

const ID = "virtio-pstore-erst";

/** Throws UserError where this QEMU has no acpi-erst, or the file can't be its store. */
export function checkErst(command: string, args: readonly string[], path: string): void {
  checkForeground(args);
  if (!deviceHelp(command).includes(`"${DEVICE}"`)) {
    throw new UserError(`${command} has no ${DEVICE}: QEMU 7.0 is the first that does`);
  }
  if (!existsSync(path)) return;
  withErst(path, (_, header) => {
    if (header === undefined) throw new ErstError("NOT_ERST", "not used by a QEMU yet; remove it");
    expectUnused(path);
  });
}

/** QEMU's arguments for an acpi-erst device with its store in a file, which is made if it isn't there. */
export function erstArguments(path: string): string[] {
  try {
    if (!existsSync(path)) ErstFile.create(path, DEFAULT_SIZE, DEFAULT_RECORD_SIZE);
  } catch (error) {
    throw erstError(path, error);
  }
  const bytes = withErst(path, (_, header) => header?.fileBytes ?? 0);
  return [
    "-object",
    `memory-backend-file,id=${ID},mem-path=${escaped(path)},size=${bytes},share=on`,
    "-device",
    // The records' size is the file's: what the property says counts only for a new one.
    `${DEVICE},memdev=${ID}`,
  ];
}

/** The ids of the records that the file holds. */
export function erstIds(path: string): ReadonlySet<bigint> {
  return withErst(path, (file, header) => new Set(header && file.ids(header).values()));
}
