import { join } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { groupId } from "../os/index.js";
import type { ControlSettings } from "../service/start/control-socket.js";

/** In a directory of records, or of guests: a hidden name, which counts for nothing there. */
const CONTROL_NAME = ".control";

export interface ControlOptions {
  readonly control?: string;
  readonly controlGroup?: number;
}

export function parseGroup(text: string): number {
  const group = /^[0-9]{1,10}$/.test(text) ? Number(text) : groupId(text);
  if (group !== undefined && group < 2 ** 32 - 1) return group;
  throw new InvalidArgumentError("There is no such group.");
}

function parsePath(text: string): string {
  if (text !== "") return text;
  throw new InvalidArgumentError("It is empty.");
}

export function addControlOptions(command: Command): Command {
  return command
    .option(
      "--control <path>",
      `make the socket for \`virtio-pstore status\` here (default: ${CONTROL_NAME} in DIR)`,
      parsePath,
    )
    .addOption(
      new Option(
        "--control-group <group>",
        "let this group (name or number) use that socket; it must also be able to enter the socket's directory",
      ).argParser(parseGroup),
    );
}

/** The control socket of whoever serves a directory of records, or of guests, and names no other. */
export const controlPath = (directory: string): string => join(directory, CONTROL_NAME);

export function controlSettings(options: ControlOptions, directory: string): ControlSettings {
  const { control, controlGroup: group } = options;
  return {
    path: control ?? controlPath(directory),
    makesFolder: control === undefined,
    access: group === undefined ? { mode: 0o600 } : { mode: 0o660, group },
  };
}
