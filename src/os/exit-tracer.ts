import { constants } from "node:os";
import { check } from "./check.js";
import { errno, SystemError } from "./errno.js";
import { lastErrno, libc } from "./libc.js";

/** ptrace(2); linux/ptrace.h. */
const PTRACE_CONT = 7;
const PTRACE_DETACH = 17;
const PTRACE_SEIZE = 0x4206;
const PTRACE_LISTEN = 0x4208;
const PTRACE_O_TRACEEXIT = 0x40;
const PTRACE_EVENT_EXIT = 6;
const PTRACE_EVENT_STOP = 128;

/** waitpid(2): threads that aren't children, too. */
const WALL = 0x40000000;

const { SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGTRAP } = constants.signals;
const STOPS: readonly number[] = [SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU];

/**
 * Holds a process at its exit, whatever ends it, while its memory is still there. Only the thread that made it may
 * use it. Where this process ends, the kernel lets go of the other one.
 */
export class ExitTracer {
  readonly #pid: number;

  /** Throws SystemError: EPERM where that isn't allowed, or another process traces it. */
  constructor(pid: number) {
    check(libc.ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACEEXIT), "ptrace", `${pid}`);
    this.#pid = pid;
  }

  /** Blocks until the process is about to exit; false where it is gone already. Signals go on to it meanwhile. */
  wait(): boolean {
    const status = new Int32Array(1);
    for (;;) {
      if (libc.waitpid(this.#pid, status, WALL) < 0) return false;
      const [word = 0] = status;
      // wait(2): the low byte says how it ended, or that it stopped; then the signal, and ptrace's event above.
      if ((word & 0xff) !== 0x7f) return false;
      const signal = (word >> 8) & 0xff;
      const event = word >> 16;
      if (event === PTRACE_EVENT_EXIT) return true;
      if (event === PTRACE_EVENT_STOP && STOPS.includes(signal)) this.#resume(PTRACE_LISTEN, 0);
      else this.#resume(PTRACE_CONT, event === 0 && signal !== SIGTRAP ? signal : 0);
    }
  }

  /** The process goes on. */
  letGo(): void {
    libc.ptrace(PTRACE_DETACH, this.#pid, 0, 0);
  }

  /** One that was killed meanwhile is no more to be resumed. */
  #resume(request: number, signal: number): void {
    if (libc.ptrace(request, this.#pid, 0, signal) >= 0) return;
    if (lastErrno() !== errno.ESRCH) throw new SystemError("ptrace", lastErrno());
  }
}
