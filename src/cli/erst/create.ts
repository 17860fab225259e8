import { type Command, Option } from "commander";
import { ErstError, ErstFile } from "../../formats/erst/index.js";
import { errorLine, USAGE, UserError, warn } from "../../service/errors.js";
import { formatSize } from "../../service/size.js";
import { sizeOption } from "../size.js";
import { erstError } from "./open.js";

interface CreateOptions {
  readonly size: number;
  readonly recordSize: number;
}

/** What `erst create` and `run --erst` make where they aren't told otherwise, in bytes. */
export const DEFAULT_SIZE = 16 << 20;
export const DEFAULT_RECORD_SIZE = 64 << 10;

const LARGEST = 2 ** 32 - 1;

export function addCreate(erst: Command): void {
  erst
    .command("create")
    .summary("make an ERST file without records")
    .description("Makes a file without records, for QEMU's acpi-erst device.")
    .argument("<file>", "the file's name; there must be no such file yet")
    .addOption(
      new Option("--size <size>", "size of the file: a multiple of the record size, below 4G")
        .argParser(sizeOption(2 * 4096, LARGEST))
        .default(DEFAULT_SIZE, "16M"),
    )
    .addOption(
      new Option("--record-size <size>", "size of the largest record: a power of two from 4K on")
        .argParser(sizeOption(4096, LARGEST))
        .default(DEFAULT_RECORD_SIZE, "64K"),
    )
    .action(create);
}

function create(path: string, { size, recordSize }: CreateOptions): void {
  try {
    ErstFile.create(path, size, recordSize);
  } catch (error) {
    const known = erstError(path, error);
    const isUsage = error instanceof ErstError && error.code === "BAD_SIZE";
    throw isUsage ? new UserError(errorLine(known), USAGE) : known;
  }
  warn(`made ${path}: ${formatSize(size)}, records of at most ${formatSize(recordSize)}`);
}
