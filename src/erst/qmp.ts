import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";

/** What QEMU answers to a command (QEMU, docs/interop/qmp-spec.rst). */
interface Reply {
  readonly return?: unknown;
  readonly error?: { readonly desc?: string };
  readonly QMP?: unknown;
}

const TIMEOUT_MS = 5000;

/** A connection to QEMU's monitor, at the Unix socket of `-qmp unix:PATH,server=on,wait=off`. */
export class Qmp {
  readonly #socket: Socket;
  readonly #waiting: ((reply: Reply) => void)[] = [];
  #error = new Error("QEMU's monitor closed the connection");

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error("QEMU's monitor doesn't answer")));
    socket.on("error", (error) => {
      this.#error = error;
    });
    socket.on("close", () => {
      for (const tell of this.#waiting.splice(0)) tell({ error: { desc: this.#error.message } });
    });
    const lines = createInterface({ input: socket });
    // readline passes the socket's errors on; they are handled above.
    lines.on("error", () => undefined);
    lines.on("line", (line) => {
      const reply = parseReply(line);
      if (reply === undefined)
        socket.destroy(new Error("what answers there isn't QEMU's QMP monitor"));
      // What has neither is an event.
      else if ("return" in reply || "error" in reply || "QMP" in reply) {
        this.#waiting.shift()?.(reply);
      }
    });
  }

  /** Connects, and throws where nobody answers there as QEMU does. */
  static async open(path: string): Promise<Qmp> {
    const qmp = new Qmp(connect({ path }));
    const greeting = await qmp.#reply();
    if (greeting.QMP === undefined) throw qmp.#failure(greeting);
    await qmp.execute("qmp_capabilities");
    return qmp;
  }

  /** Runs a command and returns its answer. Throws what QEMU says is wrong. */
  async execute(command: string): Promise<unknown> {
    const reply = this.#reply();
    this.#socket.write(`${JSON.stringify({ execute: command })}\n`);
    const answer = await reply;
    if (!("return" in answer)) throw this.#failure(answer);
    return answer.return;
  }

  close(): void {
    this.#socket.destroy();
  }

  #failure({ error }: Reply): Error {
    this.close();
    return new Error(error?.desc ?? this.#error.message);
  }

  #reply(): Promise<Reply> {
    if (this.#socket.destroyed) return Promise.resolve({ error: { desc: this.#error.message } });
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

function parseReply(line: string): Reply | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Runs `task` while the guest stands still: between two of its instructions, and so of its device's. */
export async function whilePaused(path: string, task: () => void): Promise<void> {
  const qmp = await Qmp.open(path);
  try {
    const { running } = (await qmp.execute("query-status")) as { running: boolean };
    if (running) await qmp.execute("stop");
    try {
      task();
    } finally {
      if (running) await qmp.execute("cont");
    }
  } finally {
    qmp.close();
  }
}
