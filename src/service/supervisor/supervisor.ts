import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bindDatagram, closeDescriptor, openPlace, receive } from "../../os/index.js";
import { FIRST_PASSED, type PassedDescriptor } from "./notify.js";

/** How a daemon ended: one of the two is null. */
export interface DaemonEnd {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface SupervisorOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** Passed to each daemon, from descriptor 3 on. */
  readonly sockets: readonly PassedDescriptor[];
  /** A daemon that was started in place of one that ended so serves. */
  readonly onRestart: (former: DaemonEnd) => void;
}

/**
 * A socket for sd_notify(3) and a descriptor of its name, which is gone from the file system: a supervisor that
 * is killed leaves nothing there, and nobody else finds it.
 */
function notifySocket(): { readonly fd: number; readonly name: PassedDescriptor } {
  const folder = mkdtempSync(join(tmpdir(), "virtio-pstore-holder-"));
  try {
    const path = join(folder, "notify");
    const fd = bindDatagram(path);
    return { fd, name: { name: "notify", fd: openPlace(path) } };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** How often the daemon's messages are looked for while it starts. Later it sends none. */
const POLL_MS = 10;
/** A datagram of sd_notify(3); ours are much shorter. */
const MAX_MESSAGE_BYTES = 4096;
/** So many daemons are started again at once, and one more for each span; others after it. */
const RESTARTS = 50;
const RESTART_SPAN_MS = 2000;
/** Half the first delay where a daemon doesn't come to serve; each is twice the one before, RESTART_SPAN_MS at most. */
const FAILURE_DELAY_MS = 50;
/** Where none ever served, so many daemons in a row that end before they do, and no more are started. */
const MAX_FAILURES = 6;

/**
 * Runs the daemon as a child process, and another one when it dies. Between the two it keeps what the
 * daemon gave it: the part of systemd's file descriptor store, where there is no systemd. It is small, reads
 * nothing that a guest or a front-end sends, and should never end before its daemon; where it does, the
 * kernel kills the daemon, so that none is left that writes.
 */
export class Supervisor {
  /** Resolves with true once a daemon serves, with false when none ever will. */
  readonly ready: Promise<boolean>;
  /** Resolves when the last daemon has ended, because it was told to or because another can't help. */
  readonly ended: Promise<DaemonEnd>;
  readonly #options: SupervisorOptions;
  readonly #notify = notifySocket();
  #held: PassedDescriptor[] = [];
  #child: ChildProcess | undefined;
  #poll: NodeJS.Timeout | undefined;
  #restart: NodeJS.Timeout | undefined;
  #former: DaemonEnd | undefined;
  #readyAt: number | undefined;
  #everReady = false;
  #stopping = false;
  #over = false;
  #failures = 0;
  #restarts = RESTARTS;
  #restartsAt = performance.now();
  #onReady: (ready: boolean) => void = () => undefined;
  #onEnded: (end: DaemonEnd) => void = () => undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.ready = new Promise((resolve) => {
      this.#onReady = resolve;
    });
    this.ended = new Promise((resolve) => {
      this.#onEnded = resolve;
    });
    this.#start();
  }

  /** Sends the daemon a signal, and starts no other one. */
  stop(signal: NodeJS.Signals): void {
    this.#stopping = true;
    if (this.#child !== undefined) this.#child.kill(signal);
    else this.#end({ status: 0, signal: null });
  }

  #start(): void {
    const { command, args, sockets } = this.#options;
    const passed = [...sockets, ...this.#held, this.#notify.name];
    this.#readyAt = undefined;
    const child = spawn(command, args, {
      stdio: ["ignore", "inherit", "inherit", ...passed.map(({ fd }) => fd)],
      // Signals of the terminal, and those to a process group, are ours to pass on.
      detached: true,
      env: {
        ...process.env,
        NOTIFY_SOCKET: `/proc/self/fd/${FIRST_PASSED + passed.length - 1}`,
        // Not known beforehand.
        LISTEN_PID: undefined,
        LISTEN_FDS: String(passed.length),
        LISTEN_FDNAMES: passed.map(({ name }) => name).join(":"),
      },
    });
    this.#child = child;
    let over = false;
    const onEnd = (end: DaemonEnd) => {
      if (over) return;
      over = true;
      this.#daemonEnded(end);
    };
    child.on("exit", (status, signal) => {
      onEnd({ status, signal });
    });
    child.on("error", () => {
      onEnd({ status: 1, signal: null });
    });
    this.#poll = setInterval(() => {
      this.#takeMessages();
    }, POLL_MS);
  }

  #takeMessages(): void {
    for (;;) {
      const received = receive(this.#notify.fd, MAX_MESSAGE_BYTES);
      if (received === undefined) return;
      this.#take(Buffer.from(received.bytes).toString("latin1").split("\n"), received.descriptors);
    }
  }

  #take(fields: readonly string[], descriptors: readonly number[]): void {
    const name = fields.find((field) => field.startsWith("FDNAME="))?.slice("FDNAME=".length) ?? "";
    if (fields.includes("FDSTORE=1")) {
      for (const fd of descriptors) this.#held.push({ name, fd });
    } else {
      for (const fd of descriptors) closeDescriptor(fd);
    }
    if (fields.includes("FDSTOREREMOVE=1")) {
      for (const held of this.#held) if (held.name === name) closeDescriptor(held.fd);
      this.#held = this.#held.filter((held) => held.name !== name);
    }
    if (fields.includes("READY=1")) this.#daemonReady();
  }

  #daemonReady(): void {
    clearInterval(this.#poll);
    this.#readyAt = performance.now();
    this.#everReady = true;
    this.#failures = 0;
    this.#onReady(true);
    if (this.#former !== undefined) this.#options.onRestart(this.#former);
    this.#former = undefined;
  }

  #daemonEnded(end: DaemonEnd): void {
    clearInterval(this.#poll);
    this.#child = undefined;
    // What it gave away before it died.
    this.#takeMessages();
    const readyAt = this.#readyAt;
    if (readyAt === undefined) this.#failures++;
    const served = readyAt !== undefined && end.status === 0;
    // An exit status: it said itself what is wrong with the directory or a socket. Later, guests that are
    // connected wait for that to be mended: without the descriptors that are held they would be lost.
    const hopeless = !this.#everReady && (end.status !== null || this.#failures === MAX_FAILURES);
    if (this.#stopping) {
      // It may have been told before it listened to signals.
      this.#end({ status: end.status ?? 0, signal: null });
      return;
    }
    if (served || hopeless) {
      this.#end(end);
      return;
    }
    this.#former ??= end;
    const delay =
      readyAt === undefined
        ? Math.min(FAILURE_DELAY_MS * 2 ** this.#failures, RESTART_SPAN_MS)
        : this.#delay();
    this.#restart = setTimeout(() => {
      this.#start();
    }, delay);
  }

  /** A guest that can make the daemon die must not keep a processor busy with that. */
  #delay(): number {
    const now = performance.now();
    const refill = Math.floor((now - this.#restartsAt) / RESTART_SPAN_MS);
    this.#restarts = Math.min(RESTARTS, this.#restarts + refill);
    this.#restartsAt += refill * RESTART_SPAN_MS;
    if (this.#restarts === 0) return RESTART_SPAN_MS;
    this.#restarts--;
    return 0;
  }

  #end(end: DaemonEnd): void {
    // The descriptors' numbers may be others' by now.
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#restart);
    for (const { fd } of this.#held.splice(0)) closeDescriptor(fd);
    for (const fd of [this.#notify.fd, this.#notify.name.fd]) closeDescriptor(fd);
    this.#onReady(false);
    this.#onEnded(end);
  }
}
