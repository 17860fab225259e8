import { spawn } from "node:child_process";
import { UserError } from "../service/errors.js";
import { writeOut, writeTo } from "./stdout.js";

/** Where a command's text goes. */
export interface Output {
  readonly isPager: boolean;
  /** False where nobody reads any more. */
  write(text: string | Uint8Array): Promise<boolean>;
  end(): Promise<void>;
}

const stdout: Output = { isPager: false, write: writeOut, end: () => Promise.resolve() };

/** The shell's words for "not found" and "can't be run". */
const NOT_RUN = [126, 127];

/** A small host has no less, and the text counts more than how it is shown. */
const DEFAULT_PAGER = "if command -v less >/dev/null; then exec less; fi; exec cat";

/** $PAGER, or less, on a terminal; else stdout. */
export function openPager(wanted: boolean): Output {
  const pager = process.env.PAGER ?? DEFAULT_PAGER;
  if (!wanted || !process.stdout.isTTY || pager === "" || pager === "cat") return stdout;
  // less ends at once where all fits on the screen, unless the user asks for something else, and shows colours.
  const { LESS } = process.env;
  const env = { ...process.env, LESS: LESS === undefined ? "FRX" : `-R ${LESS}` };
  const child = spawn("/bin/sh", ["-c", pager], { stdio: ["pipe", "inherit", "inherit"], env });
  const { stdin } = child;
  // Whoever leaves the pager early has seen enough.
  stdin.on("error", () => undefined);
  // Ctrl-C is for the pager, which is in the same group.
  const ignore = () => undefined;
  process.on("SIGINT", ignore);
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  return {
    isPager: true,
    write: (text) => writeTo(stdin, text),
    end: async () => {
      stdin.end();
      const status = await ended;
      process.removeListener("SIGINT", ignore);
      if (status !== null && NOT_RUN.includes(status)) {
        throw new UserError(`the pager ${pager} can't be run: set PAGER, or use --no-pager`);
      }
    },
  };
}
