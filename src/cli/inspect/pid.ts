import { InvalidArgumentError } from "commander";

/** An option's parser for a process's number. */
export function parsePid(text: string): number {
  if (/^[1-9][0-9]{0,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a process's number.");
}
