import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { errno, errnoOf } from "../../os/index.js";

/** What QEMU answers to a command (QEMU, docs/interop/qmp-spec.rst). */
interface Reply {
  readonly return?: unknown;
  readonly error?: { readonly desc?: string };
  readonly QMP?: unknown;
}

const TIMEOUT_MS = 5000;

/** The registers of some thousand CPUs have so much; it is kept until its line ends. */
const MAX_LINE_BYTES = 16 << 20;

/** A connection to QEMU's monitor, at the Unix socket of `-qmp unix:PATH,server=on,wait=off`. */
export class Qmp {
  readonly #socket: Socket;
  readonly #waiting: ((reply: Reply) => void)[] = [];
  #error = new Error("QEMU's monitor closed the connection");

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("timeout", () => socket.destroy(new Error("QEMU's monitor doesn't answer")));
    socket.on("error", (error) => {
      this.#error = error;
    });
    socket.on("close", () => {
      for (const tell of this.#waiting.splice(0)) tell({ error: { desc: this.#error.message } });
    });
    const lines = createInterface({ input: socket });
    let unended = 0;
    socket.on("data", (piece: Buffer) => {
      const end = piece.lastIndexOf("\n");
      unended = end < 0 ? unended + piece.length : piece.length - end;
      if (unended > MAX_LINE_BYTES) {
        socket.destroy(new Error("QEMU's monitor sends a line without an end"));
      }
    });
    // readline passes the socket's errors on; they are handled above.
    lines.on("error", () => undefined);
    lines.on("line", (line) => {
      const reply = parseReply(line);
      if (reply === undefined)
        socket.destroy(new Error("what answers there isn't QEMU's QMP monitor"));
      // What has neither is an event.
      else if ("return" in reply || "error" in reply || "QMP" in reply) {
        this.#waiting.shift()?.(reply);
        // Between two commands it may be silent for as long as it likes: whoever paused the guest has work to do.
        if (this.#waiting.length === 0) socket.setTimeout(0);
      }
    });
  }

  /** Connects, and throws where nobody answers there as QEMU does, or not before `stopped` aborts. */
  static async open(path: string, stopped?: AbortSignal): Promise<Qmp> {
    const qmp = new Qmp(connect({ path }));
    const close = () => {
      qmp.#socket.destroy(new Error("ended before QEMU's monitor answered"));
    };
    stopped?.addEventListener("abort", close);
    try {
      const greeting = await qmp.#reply();
      if (greeting.QMP === undefined) throw qmp.#failure(greeting);
      await qmp.execute("qmp_capabilities");
      return qmp;
    } catch (error) {
      qmp.close();
      throw error;
    } finally {
      stopped?.removeEventListener("abort", close);
    }
  }

  /** Runs a command and returns its answer. Throws what QEMU says is wrong; another command may follow. */
  async execute(command: string, args: object = {}): Promise<unknown> {
    const reply = this.#reply();
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    const answer = await reply;
    if (!("return" in answer)) throw this.#failure(answer);
    return answer.return;
  }

  close(): void {
    this.#socket.destroy();
  }

  #failure({ error }: Reply): Error {
    return this.#socket.errored ?? new Error(error?.desc ?? this.#error.message);
  }

  #reply(): Promise<Reply> {
    if (this.#socket.destroyed) return Promise.resolve({ error: { desc: this.#error.message } });
    this.#socket.setTimeout(TIMEOUT_MS);
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

/** Whether an error says that nobody listens at a monitor's socket. */
export const isUnanswered = (error: unknown): boolean =>
  error instanceof Error &&
  "syscall" in error &&
  error.syscall === "connect" &&
  [errno.ENOENT, errno.ECONNREFUSED].some((number) => number === errnoOf(error));

/**
 * Runs `task` while the guest stands still: between two of its instructions, and so of its device's. An
 * abort ends the wait for the monitor, and nothing behind that: the guest has to go on. Throws what the task does, and
 * where the guest couldn't be stopped, or is still stopped.
 */
export async function whilePaused(
  path: string,
  task: (qmp: Qmp) => unknown,
  stopped?: AbortSignal,
): Promise<void> {
  const qmp = await Qmp.open(path, stopped);
  try {
    const { running } = (await qmp.execute("query-status")) as { running: boolean };
    try {
      if (running) await qmp.execute("stop");
      await task(qmp);
    } finally {
      if (running) await resume(qmp, path);
    }
  } finally {
    qmp.close();
  }
}

/** The connection may be lost: QEMU took too long for a command, also to stop, or its answer was too long. */
async function resume(qmp: Qmp, path: string): Promise<void> {
  try {
    await qmp.execute("cont");
  } catch {
    // QEMU serves one connection at a time.
    qmp.close();
    await resumeAnew(path);
  }
}

async function resumeAnew(path: string): Promise<void> {
  try {
    const qmp = await Qmp.open(path);
    try {
      await qmp.execute("cont");
    } finally {
      qmp.close();
    }
  } catch (error) {
    const why = (error as Error).message;
    throw new Error(
      `the guest is still stopped (${why}): type cont at QEMU's monitor, or send {"execute": "cont"} behind {"execute": "qmp_capabilities"} to its QMP socket`,
    );
  }
}
