import { systemReason } from "../os/errno.js";
import { ask, NoReplyError } from "../service/control/index.js";
import { codeOf, UserError } from "../service/errors.js";

/** Why nobody listens: it isn't there, it is left of a daemon that ended, or it is something else. */
const NOBODY = ["ENOENT", "ENOTDIR", "ECONNREFUSED", "ENOTSOCK"];

export interface Question<T> {
  /** The daemon's control socket. */
  readonly socket: string;
  /** The daemon's --directory, where the user named that and not the socket. */
  readonly directory: string | undefined;
  readonly command: string;
  /** As far as a daemon of the same protocol can be told from something else. */
  readonly isResult: (result: unknown) => result is T;
}

/** What a running daemon answers. Throws UserError where none does. */
export async function askDaemon<T>(question: Question<T>): Promise<T> {
  const { socket, directory, command, isResult } = question;
  try {
    const reply = await ask(socket, command);
    if ("error" in reply) throw new UserError(`${socket}: ${reply.error.message}`);
    if (isResult(reply.result)) return reply.result;
    throw new NoReplyError("BAD_REPLY");
  } catch (error) {
    if (NOBODY.includes(codeOf(error) ?? "")) {
      throw new UserError(
        directory === undefined
          ? `no daemon listens at ${socket}: name the daemon's --control socket`
          : `no daemon serves ${directory}: none listens at ${socket}; name its --directory, or its --control socket`,
      );
    }
    if (error instanceof NoReplyError) {
      throw new UserError(
        error.code === "NO_REPLY"
          ? `the daemon at ${socket} doesn't answer: it is stopped, it can't start again, or another program listens there`
          : `${socket}: the program that answers is no daemon of this version`,
      );
    }
    const reason = systemReason(error);
    if (reason === undefined) throw error;
    throw new UserError(`${socket}: ${reason}`);
  }
}
