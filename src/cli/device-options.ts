import { type Command, InvalidArgumentError, Option } from "commander";
import type { DeviceSettings } from "../daemon/index.js";
import {
  DEFAULT_ROOMS,
  RECORD_TYPES,
  type RecordTypeName,
  type Room,
  type Rooms,
} from "../store/index.js";
import { USAGE, UserError } from "./errors.js";
import { sizeOption } from "./size.js";

/** Linux's kmalloc gives no more than 4M in one piece, and the guest's buffers are such pieces. */
const LARGEST_BUFFER = 4 << 20;

const LARGEST_ROOM = 1024 ** 4 - 1;

/** The options as commander parses them. */
export interface DeviceOptions extends Omit<DeviceSettings, "rooms"> {
  readonly console: boolean;
  readonly maxRecords?: number;
  readonly maxBytes?: number;
}

const isType = (word: string): word is RecordTypeName => RECORD_TYPES.some((type) => type === word);

function parseTypes(text: string): RecordTypeName[] {
  const types = text.split(",").map((word) => {
    if (isType(word)) return word;
    throw new UserError(`--types wants some of ${RECORD_TYPES.join(",")}, not ${text}`, USAGE);
  });
  // Drivers of version 2 can't be told otherwise.
  if (!types.includes("dmesg")) throw new UserError("--types can't go without dmesg", USAGE);
  return [...new Set(types)];
}

function parseCount(text: string): number {
  const count = Number(text);
  if (/^[0-9]{1,9}$/.test(text) && count > 0) return count;
  throw new InvalidArgumentError("It must be a whole number from 1 to 999999999.");
}

/** Adds the options that say what device a guest gets. */
export function addDeviceOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--bufsize <size>",
        "size of the guest's buffer, the largest record: bytes, or a number with K, M or G; 4K to 4M",
      )
        .argParser(sizeOption(4096, LARGEST_BUFFER))
        .default(16384, "16K"),
    )
    .addOption(
      new Option("--max-data <size>", "the most that one request of a raw dump may carry; 4K to 4M")
        .argParser(sizeOption(4096, LARGEST_BUFFER))
        .default(1 << 20, "1M"),
    )
    .addOption(
      new Option(
        "--types <list>",
        `what is taken from the guest, some of ${RECORD_TYPES.join(",")}`,
      )
        .argParser(parseTypes)
        .default(["dmesg", "ftrace"], "dmesg,ftrace"),
    )
    .option("--console", "also take the guest's console output", false)
    .addOption(
      new Option(
        "--max-records <n>",
        "the most records of each type that are kept (default: 1000)",
      ).argParser(parseCount),
    )
    .addOption(
      new Option(
        "--max-bytes <size>",
        "the most bytes that each type's records take together (default: 256M, console 1G)",
      ).argParser(sizeOption(1 << 20, LARGEST_ROOM)),
    )
    .option("--compress", "store dumps that the guest didn't compress with gzip", false)
    .addOption(
      new Option(
        "--on-erase <what>",
        "a record that the guest erases: keep the host's file, or remove it",
      )
        .choices(["keep", "remove"])
        .default("keep"),
    );
}

/** The defaults, but for what was asked for. */
function rooms({ maxRecords, maxBytes }: DeviceOptions): Rooms {
  const room = (type: RecordTypeName): Room => {
    const { records, bytes } = DEFAULT_ROOMS[type];
    return { records: maxRecords ?? records, bytes: maxBytes ?? bytes };
  };
  return {
    dmesg: room("dmesg"),
    ftrace: room("ftrace"),
    console: room("console"),
    pmsg: room("pmsg"),
  };
}

/** What the device is made with, of the parsed options. */
export function deviceSettings(options: DeviceOptions): DeviceSettings {
  const { bufsize, maxData, types, console, compress, onErase } = options;
  const all: readonly RecordTypeName[] = console ? [...types, "console"] : types;
  return { bufsize, maxData, types: [...new Set(all)], compress, onErase, rooms: rooms(options) };
}
