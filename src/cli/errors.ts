import { getSystemErrorMap } from "node:util";

/** Something the user can mend. It is shown as one line, without a stack. */
export class UserError extends Error {
  readonly exitStatus: number;

  constructor(message: string, exitStatus = 1) {
    super(message);
    this.name = "UserError";
    this.exitStatus = exitStatus;
  }
}

/** The exit status for a command line that can't be understood. */
export const USAGE = 2;

/** The line for an error of any kind: what the user can mend, or what the system said of which file. */
export function errorLine(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ("path" in error && "errno" in error && typeof error.errno === "number") {
    const [, reason] = getSystemErrorMap().get(error.errno) ?? [];
    return `${String(error.path)}: ${reason ?? error.message}`;
  }
  return error.message;
}
