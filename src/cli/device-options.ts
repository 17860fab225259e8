import { type Command, InvalidArgumentError, Option } from "commander";
import { isRecordType, RECORD_TYPES, type RecordTypeName } from "../records/index.js";
import type { DeviceSettings } from "../service/daemon/index.js";
import { LEVELS, type Level } from "../service/errors.js";
import { addLimitOptions, type LimitOptions, limitSettings } from "./limit-options.js";
import { sizeOption } from "./size.js";

/** Linux's kmalloc gives no more than 4M in one piece, and the guest's buffers are such pieces. */
const LARGEST_BUFFER = 4 << 20;

/** The options as commander parses them. */
export interface DeviceOptions
  extends Omit<DeviceSettings, "quotas" | "rates" | "minFree">,
    LimitOptions {
  readonly console: boolean;
  readonly logLevel: Level;
}

function parseTypes(text: string): RecordTypeName[] {
  const types = text.split(",").map((word) => {
    if (isRecordType(word)) return word;
    throw new InvalidArgumentError(`It must be some of ${RECORD_TYPES.join(",")}.`);
  });
  // Drivers of version 2 can't be told otherwise.
  if (!types.includes("dmesg")) throw new InvalidArgumentError("It can't go without dmesg.");
  return [...new Set(types)];
}

/** Adds the options that say what device a guest gets, and what bounds it has. */
export function addDeviceOptions(command: Command): Command {
  const device = command
    .addOption(
      new Option(
        "--bufsize <size>",
        "largest record that the guest's pstore makes: 4K to 4M, in bytes or with K or M",
      )
        .argParser(sizeOption(4096, LARGEST_BUFFER))
        .default(16384, "16K"),
    )
    .addOption(
      new Option("--max-data <size>", "largest part of a raw dump in one request: 4K to 4M")
        .argParser(sizeOption(4096, LARGEST_BUFFER))
        .default(1 << 20, "1M"),
    )
    .addOption(
      new Option("--types <list>", `take these types of records: some of ${RECORD_TYPES.join(",")}`)
        .argParser(parseTypes)
        .default(["dmesg", "ftrace"], "dmesg,ftrace"),
    )
    .option("--console", "take the guest's console, too", false)
    .option("--compress", "compress dumps with gzip, if the guest didn't compress them", false)
    .addOption(
      new Option(
        "--on-erase <what>",
        "when the guest erases a record, keep the host's file or remove it",
      )
        .choices(["keep", "remove"])
        .default("keep"),
    );
  return addLimitOptions(device).addOption(
    new Option(
      "--log-level <level>",
      "what to report: error, failures; warn, also what was lost or may be wrong; notice, also what was stored; info, everything",
    )
      .choices(LEVELS)
      .default("info"),
  );
}

/** What the device is made with, of the parsed options. */
export function deviceSettings(options: DeviceOptions): DeviceSettings {
  const { bufsize, maxData, types, console, compress, onErase } = options;
  const all: readonly RecordTypeName[] = console ? [...types, "console"] : types;
  return {
    bufsize,
    maxData,
    types: [...new Set(all)],
    compress,
    onErase,
    ...limitSettings(options),
  };
}
