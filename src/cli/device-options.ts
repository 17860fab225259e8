import { type Command, Option } from "commander";
import type { DeviceSettings } from "../daemon/index.js";
import { sizeOption } from "./size.js";

/** Linux's pstore allocates its buffer in one piece: 4M is the most that it gets. */
const LARGEST_BUFSIZE = 4 << 20;

/** Adds the options that say what device a guest gets; they parse to DeviceSettings. */
export function addDeviceOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--bufsize <size>",
        "size of the guest's buffer, the largest record: bytes, or a number with K, M or G; 4K to 4M",
      )
        .argParser(sizeOption(4096, LARGEST_BUFSIZE))
        .default(16384, "16K"),
    )
    .option("--console", "also take the guest's console output", false)
    .addOption(
      new Option(
        "--on-erase <what>",
        "a record that the guest erases: keep the host's file, or remove it",
      )
        .choices(["keep", "remove"])
        .default("keep"),
    );
}

/** The part of the parsed options that is a device's. */
export function deviceSettings({ bufsize, console, onErase }: DeviceSettings): DeviceSettings {
  return { bufsize, console, onErase };
}
