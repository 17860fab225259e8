import { check } from "./check.js";
import { errno, SystemError } from "./errno.js";
import { allocate, lastErrno, libc } from "./libc.js";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_SEQPACKET = 5;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_OOBINLINE = 10;
const SO_PASSCRED = 16;
const SO_ACCEPTCONN = 30;
const SO_PASSSEC = 34;
const SO_PASSPIDFD = 76;
const SCM_RIGHTS = 1;
const MSG_PEEK = 0x2;
const MSG_CTRUNC = 0x8;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const SHUT_RDWR = 2;
const BACKLOG = 8;

/** struct sockaddr_un's sun_path, with its closing zero. */
const PATH_BYTES = 108;

/** Descriptors taken with one message: more than any vhost-user message carries (8). */
const MAX_DESCRIPTORS = 16;

/** A struct sockaddr_un: of a file, or in the abstract name space (unix(7)), which has no files and no modes. */
function address(path: string, isAbstract: boolean): Uint8Array {
  const name = Buffer.from(path);
  if (name.length >= PATH_BYTES) {
    throw new Error(`a socket's path has at most ${PATH_BYTES - 1} bytes: ${path}`);
  }
  const bytes = Buffer.alloc(2 + (isAbstract ? name.length : PATH_BYTES));
  bytes.writeUInt16LE(AF_UNIX, 0);
  name.copy(bytes, 2);
  if (isAbstract) bytes[2] = 0;
  return bytes;
}

function socketAt(
  type: number,
  syscall: "bind" | "connect",
  path: string,
  isAbstract = false,
): number {
  const name = address(path, isAbstract);
  const fd = check(libc.socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
  if (libc[syscall](fd, name, name.length) === 0) return fd;
  const error = new SystemError(syscall, lastErrno(), path);
  libc.close(fd);
  throw error;
}

/**
 * A non-blocking stream socket, listening at `path`. `prepare` is called when its file is there and nobody can
 * connect yet.
 */
export function listenUnix(path: string, prepare: () => void = () => undefined): number {
  const fd = socketAt(SOCK_STREAM, "bind", path);
  try {
    prepare();
    check(libc.listen(fd, BACKLOG), "listen", path);
  } catch (error) {
    libc.close(fd);
    throw error;
  }
  return fd;
}

/**
 * A non-blocking stream socket connected to `path`. Fails with EAGAIN where somebody listens there but
 * has too many connections waiting.
 */
export function connectUnix(path: string): number {
  return socketAt(SOCK_STREAM, "connect", path);
}

/** A non-blocking datagram socket that takes what is sent to `path`. */
export function bindDatagram(path: string): number {
  return socketAt(SOCK_DGRAM, "bind", path);
}

/**
 * A non-blocking datagram socket whose messages go to `path`; `@` at its beginning stands for a zero, as in
 * sd_notify(3).
 */
export function connectDatagram(path: string): number {
  return socketAt(SOCK_DGRAM, "connect", path, path.startsWith("@"));
}

/** Has a listening socket refuse whoever connects from now on, whatever other process has it open, too. */
export function endListening(fd: number): void {
  check(libc.shutdown(fd, SHUT_RDWR), "shutdown", `on descriptor ${fd}`);
}

/** The next waiting connection of a listening socket, non-blocking; undefined where none waits. */
export function acceptUnix(fd: number): number | undefined {
  const connection = libc.accept4(fd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (connection >= 0) return connection;
  const number = lastErrno();
  if (number === errno.EAGAIN || number === errno.ECONNABORTED || number === errno.EINTR) {
    return undefined;
  }
  throw new SystemError("accept4", number);
}

/** What makes a connection one of bytes in their order, which only descriptors come along with. */
const PLAIN_STREAM = [
  // A listening socket of systemd's may ask for more (`PassCredentials=` and the like); what it accepts inherits that.
  [SO_PASSCRED, 0],
  [SO_PASSSEC, 0],
  [SO_PASSPIDFD, 0],
  // Else a peek passes an urgent byte (MSG_OOB) over, and epoll(7) tells of it again and again.
  [SO_OOBINLINE, 1],
] as const;

/**
 * Has nothing come from a stream socket but all bytes in their order, and descriptors. Options that this kernel
 * doesn't know do nothing in it.
 */
export function makePlainStream(fd: number): void {
  for (const [option, value] of PLAIN_STREAM) {
    libc.setsockopt(fd, SOL_SOCKET, option, new Uint8Array([value, 0, 0, 0]), 4);
  }
}

function pairOf(type: number): [number, number] {
  const pair = new Int32Array(2);
  check(libc.socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), "socketpair");
  return [pair[0] ?? -1, pair[1] ?? -1];
}

/** Two connected non-blocking stream sockets. */
export const socketPair = (): [number, number] => pairOf(SOCK_STREAM);

/** Two connected non-blocking sockets that keep messages apart. */
export const messagePair = (): [number, number] => pairOf(SOCK_SEQPACKET);

// One struct msghdr (LP64: name 0, namelen 8, iov 16, iovlen 24, control 32, controllen 40, flags 48),
// its iovec, its control buffer and its data, for every message of this thread: calls don't overlap.
const CONTROL = 80;
const CONTROL_HEADER = 16;
const CONTROL_BYTES = CONTROL_HEADER + 4 * MAX_DESCRIPTORS;
const DATA = CONTROL + CONTROL_BYTES;
const DATA_BYTES = 8192;
const { address: base, bytes: scratch } = allocate(DATA + DATA_BYTES);
const fields = new DataView(scratch.buffer);

function messageHeader(dataBytes: number, controlBytes: number): void {
  fields.setBigUint64(16, base + 56n, true);
  fields.setBigUint64(24, 1n, true);
  fields.setBigUint64(32, controlBytes === 0 ? 0n : base + BigInt(CONTROL), true);
  fields.setBigUint64(40, BigInt(controlBytes), true);
  fields.setUint32(48, 0, true);
  fields.setBigUint64(56, base + BigInt(DATA), true);
  fields.setBigUint64(64, BigInt(dataBytes), true);
}

/** A message's descriptors couldn't all be taken; none were. */
class CutDescriptorsError extends Error {
  readonly code = "BAD_DESCRIPTORS";

  constructor() {
    super(
      `a message came with more descriptors than ${MAX_DESCRIPTORS}, or than this process may have`,
    );
  }
}

/** What recvmsg(2) brought: `bytes` is empty at the end of the stream. */
export interface Received {
  readonly bytes: Uint8Array;
  readonly descriptors: number[];
}

/**
 * Receives at most `length` bytes (8 KiB at most) and the descriptors that came with them, all
 * close-on-exec and from now on the caller's to close. Undefined where nothing waits. `peek` leaves all of
 * it where it is; the descriptors are duplicates then.
 */
export function receive(fd: number, length: number, how?: "peek"): Received | undefined {
  messageHeader(Math.min(length, DATA_BYTES), CONTROL_BYTES);
  const peek = how === "peek" ? MSG_PEEK : 0;
  const count = libc.recvmsg(fd, base, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | peek);
  if (count < 0) {
    const number = lastErrno();
    if (number === errno.EAGAIN || number === errno.EINTR) return undefined;
    throw new SystemError("recvmsg", number);
  }
  const descriptors: number[] = [];
  const controlBytes = Number(fields.getBigUint64(40, true));
  for (let at = CONTROL; at + CONTROL_HEADER <= CONTROL + controlBytes; ) {
    const cmsgBytes = Number(fields.getBigUint64(at, true));
    if (cmsgBytes < CONTROL_HEADER) break;
    const level = fields.getInt32(at + 8, true);
    const type = fields.getInt32(at + 12, true);
    if (level === SOL_SOCKET && type === SCM_RIGHTS) {
      for (let i = CONTROL_HEADER; i + 4 <= cmsgBytes; i += 4) {
        descriptors.push(fields.getInt32(at + i, true));
      }
    }
    at += (cmsgBytes + 7) & ~7;
  }
  if ((fields.getUint32(48, true) & MSG_CTRUNC) !== 0) {
    for (const extra of descriptors) libc.close(extra);
    throw new CutDescriptorsError();
  }
  return { bytes: scratch.slice(DATA, DATA + count), descriptors };
}

/** Sends all of `bytes` (8 KiB at most) with `descriptors`; false where the socket is full. */
export function send(fd: number, bytes: Uint8Array, descriptors: readonly number[] = []): boolean {
  if (bytes.length > DATA_BYTES || descriptors.length > MAX_DESCRIPTORS) {
    throw new RangeError("the message is larger than any that vhost-user knows");
  }
  scratch.set(bytes, DATA);
  const cmsgBytes = CONTROL_HEADER + 4 * descriptors.length;
  messageHeader(bytes.length, descriptors.length === 0 ? 0 : (cmsgBytes + 7) & ~7);
  if (descriptors.length > 0) {
    fields.setBigUint64(CONTROL, BigInt(cmsgBytes), true);
    fields.setInt32(CONTROL + 8, SOL_SOCKET, true);
    fields.setInt32(CONTROL + 12, SCM_RIGHTS, true);
    descriptors.forEach((descriptor, i) => {
      fields.setInt32(CONTROL + CONTROL_HEADER + 4 * i, descriptor, true);
    });
  }
  const count = libc.sendmsg(fd, base, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (count === bytes.length) return true;
  if (count >= 0) throw new Error(`a message of ${bytes.length} bytes was cut at ${count}`);
  const number = lastErrno();
  if (number === errno.EAGAIN) return false;
  throw new SystemError("sendmsg", number);
}

/** The path that a Unix socket was bound to; empty where it was to none. */
export function boundPath(fd: number): string {
  const name = Buffer.alloc(2 + PATH_BYTES);
  check(libc.getsockname(fd, name, new Uint32Array([name.length])), "getsockname");
  return name.toString("utf8", 2, Math.max(2, name.indexOf(0, 2)));
}

/** Whether a descriptor is a listening Unix socket, or else a connected one. Throws for anything else. */
export function isListening(fd: number): boolean {
  const value = new Int32Array(1);
  const length = new Uint32Array([4]);
  check(
    libc.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, value, length),
    "getsockopt",
    `on descriptor ${fd}`,
  );
  return value[0] !== 0;
}
