import { InvalidArgumentError } from "commander";

/** An option's parser: what is empty is most likely a script's variable that isn't set. */
export function notEmpty(text: string): string {
  if (text === "") throw new InvalidArgumentError("It is empty.");
  return text;
}

/** The same for an option of which only the last would count. */
export function once(text: string, former: string | undefined): string {
  if (former === undefined) return notEmpty(text);
  throw new InvalidArgumentError(`Only one can be asked for, and ${former} was.`);
}
