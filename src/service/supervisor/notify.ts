import { closeDescriptor, connectDatagram, errno, SystemError, send } from "../../os/index.js";

/** Where a service manager, or our supervisor, hears of this process (sd_notify(3)). */
export const notifySocket = (): string | undefined => process.env.NOTIFY_SOCKET;

/** The holder takes its messages within milliseconds: one that is stopped isn't waited for. */
const RETRIES = 2000;
const RETRY_MS = 5;

/**
 * Sends one message, such as `READY=1`, with descriptors for the file descriptor store. When this
 * returns, the message and its descriptors outlive this process. Does nothing where there is no holder.
 * Throws the system call's error.
 */
export function notify(fields: readonly string[], descriptors: readonly number[] = []): void {
  const path = notifySocket();
  if (path === undefined) return;
  const fd = connectDatagram(path);
  try {
    const message = Buffer.from(fields.join("\n"));
    for (let i = 0; !send(fd, message, descriptors); i++) {
      if (i === RETRIES) throw new SystemError("sendmsg", errno.EAGAIN, path);
      // Its queue is full, of ten messages on most systems.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    }
  } finally {
    closeDescriptor(fd);
  }
}

/** Gives a descriptor to the holder, which passes it to the next process under the same name. */
export function hold(name: string, fd: number): void {
  notify(["FDSTORE=1", `FDNAME=${name}`, "FDPOLL=0"], [fd]);
}

/** Has the holder close what it has of this name. */
export function letGo(name: string): void {
  notify(["FDSTOREREMOVE=1", `FDNAME=${name}`]);
}

/** SD_LISTEN_FDS_START of sd_listen_fds(3). */
export const FIRST_PASSED = 3;

/** A descriptor that this process was started with. */
export interface PassedDescriptor {
  readonly name: string;
  readonly fd: number;
}

/**
 * The descriptors that this process was started with: sockets, and what was given to hold()
 * (sd_listen_fds_with_names(3)). Our supervisor doesn't know its child's number beforehand and so
 * leaves LISTEN_PID out.
 */
export function passedDescriptors(): PassedDescriptor[] {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = process.env;
  if (LISTEN_PID !== undefined && Number(LISTEN_PID) !== process.pid) return [];
  const names = (LISTEN_FDNAMES ?? "").split(":");
  return Array.from({ length: Number(LISTEN_FDS ?? 0) }, (_, i) => ({
    name: names[i] ?? "",
    fd: FIRST_PASSED + i,
  }));
}
