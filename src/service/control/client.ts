import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { closeDescriptor, openFolderOf } from "../../os/index.js";
import { CONTROL_VERSION, type ControlReply, parseReply } from "./protocol.js";

/** A daemon that is killed is followed by another one, which answers. */
const PATIENCE_MS = 15_000;
const RETRY_MS = 50;

/** Far more than any daemon says. */
const MAX_REPLY_BYTES = 256 << 20;

/** Why there is no reply. The system call's error is thrown as it is. */
export class NoReplyError extends Error {
  readonly code: "NO_REPLY" | "BAD_REPLY";

  constructor(code: NoReplyError["code"]) {
    super(code);
    this.name = "NoReplyError";
    this.code = code;
  }
}

/**
 * Asks the daemon at a control socket. Where that ends meanwhile, the next one is asked. Throws NoReplyError, or the
 * system call's error: ENOENT or ECONNREFUSED where no daemon serves there.
 */
export async function ask(
  path: string,
  command: string,
  patienceMs = PATIENCE_MS,
): Promise<ControlReply> {
  const deadline = performance.now() + patienceMs;
  const { fd, entry } = openFolderOf(path);
  try {
    for (;;) {
      const line = await askOnce(entry, command, deadline);
      const reply = line === undefined ? undefined : parseReply(line);
      if (reply !== undefined) return reply;
      if (line !== undefined) throw new NoReplyError("BAD_REPLY");
      if (performance.now() + RETRY_MS > deadline) throw new NoReplyError("NO_REPLY");
      await sleep(RETRY_MS);
    }
  } finally {
    closeDescriptor(fd);
  }
}

/** The reply's line; undefined where the connection ended before it, or the time is over. */
function askOnce(path: string, command: string, deadline: number): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    let bytes = 0;
    const socket = connect(path);
    const done = (line?: string) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(line);
    };
    const timer = setTimeout(done, Math.max(0, deadline - performance.now()));
    socket.on("connect", () => {
      socket.write(`${JSON.stringify({ version: CONTROL_VERSION, command })}\n`);
    });
    socket.on("data", (piece) => {
      const end = piece.indexOf("\n");
      pieces.push(end < 0 ? piece : piece.subarray(0, end));
      bytes += piece.length;
      if (end >= 0 || bytes > MAX_REPLY_BYTES) done(Buffer.concat(pieces).toString());
    });
    socket.on("end", () => {
      done();
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      // The daemon died with our request unread, or before it took the connection; or too many wait for it.
      if (["ECONNRESET", "EPIPE", "EAGAIN"].includes(error.code ?? "")) {
        done();
        return;
      }
      clearTimeout(timer);
      reject(error);
    });
  });
}
