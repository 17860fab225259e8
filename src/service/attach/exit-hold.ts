import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { HoldMessage } from "./hold-process.js";

const entry = fileURLToPath(new URL("./hold-process.js", import.meta.url));

/** Has a VMM held at its exit until its memory was read, by a process of its own. */
export class ExitHold {
  readonly #child: ChildProcess;
  readonly #exits = new AbortController();

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on("message", (message: HoldMessage) => {
      if (message.kind === "exits") this.#exits.abort();
    });
  }

  /** Resolves when the VMM will be held. Rejects with why it can't be: another process traces it, or that isn't allowed. */
  static async start(pid: number): Promise<ExitHold> {
    const child = fork(entry, [`${pid}`], { stdio: "ignore", execArgv: [] });
    const hold = new ExitHold(child);
    const said = await new Promise<HoldMessage>((resolve) => {
      child.once("message", (message: HoldMessage) => {
        resolve(message);
      });
      child.once("exit", () => {
        resolve({ kind: "failed", reason: "the process that should hold it ended" });
      });
    });
    if (said.kind !== "failed") return hold;
    hold.letGo();
    throw new Error(said.reason);
  }

  /** Aborted when the VMM is about to exit, or has. */
  get exits(): AbortSignal {
    return this.#exits.signal;
  }

  /** The VMM goes on; where it doesn't exit yet, it isn't held any more. */
  letGo(): void {
    // While it waits for the VMM it hears nothing, and the kernel lets go of what a process traced that is gone.
    if (!this.#exits.signal.aborted) this.#child.kill("SIGKILL");
    else if (this.#child.connected) this.#child.disconnect();
    this.#child.unref();
  }
}
