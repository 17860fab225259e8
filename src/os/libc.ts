import { createRequire } from "node:module";
import type { KoffiFunc } from "koffi";

type Koffi = typeof import("koffi");

let loaded: { readonly koffi: Koffi; readonly library: ReturnType<Koffi["load"]> } | undefined;

/** Loaded at the first call: commands that read records and end never make one, and start sooner. */
function ffi() {
  if (loaded === undefined) {
    const koffi = createRequire(import.meta.url)("koffi") as Koffi;
    loaded = { koffi, library: koffi.load("libc.so.6") };
  }
  return loaded;
}

function bind<T extends (...args: never[]) => unknown>(prototype: string): T {
  let call: KoffiFunc<T> | undefined;
  const bound = (...args: Parameters<T>) => {
    call ??= ffi().library.func(prototype) as unknown as KoffiFunc<T>;
    return call(...args);
  };
  return bound as unknown as T;
}

/** Likewise, on a thread of Node's pool: the last argument is called when it is done. */
function bindAsync<T extends (...args: never[]) => void>(prototype: string): T {
  let call: KoffiFunc<T> | undefined;
  const bound = (...args: Parameters<T>) => {
    call ??= ffi().library.func(prototype) as unknown as KoffiFunc<T>;
    (call.async as (...args: unknown[]) => void)(...args);
  };
  return bound as unknown as T;
}

const syscallPointer = bind<
  (number: number, pointer: Uint8Array | null, a: number, b: number) => number
>("long syscall(long, const void *, size_t, unsigned int)");
const syscallTwo = bind<(number: number, a: number, b: number) => number>(
  "long syscall(long, int, unsigned int)",
);
const syscallTwoAndPointer = bind<
  (number: number, a: number, b: number, pointer: Uint8Array, c: number) => number
>("long syscall(long, int, int, const void *, unsigned int)");

/**
 * The C library through FFI. Nothing outside src/os imports this file.
 * File work that Node can do itself stays with node:fs.
 */
export const libc = {
  socket: bind<(domain: number, type: number, protocol: number) => number>(
    "int socket(int, int, int)",
  ),
  socketpair: bind<(domain: number, type: number, protocol: number, pair: Int32Array) => number>(
    "int socketpair(int, int, int, _Out_ int *)",
  ),
  bind: bind<(fd: number, address: Uint8Array, length: number) => number>(
    "int bind(int, const void *, unsigned int)",
  ),
  listen: bind<(fd: number, backlog: number) => number>("int listen(int, int)"),
  shutdown: bind<(fd: number, how: number) => number>("int shutdown(int, int)"),
  connect: bind<(fd: number, address: Uint8Array, length: number) => number>(
    "int connect(int, const void *, unsigned int)",
  ),
  accept4: bind<(fd: number, address: null, length: null, flags: number) => number>(
    "int accept4(int, void *, void *, int)",
  ),
  getsockname: bind<(fd: number, address: Uint8Array, length: Uint32Array) => number>(
    "int getsockname(int, void *, _Inout_ unsigned int *)",
  ),
  getsockopt: bind<
    (fd: number, level: number, name: number, value: Int32Array, length: Uint32Array) => number
  >("int getsockopt(int, int, int, _Out_ int *, _Inout_ unsigned int *)"),
  setsockopt: bind<
    (fd: number, level: number, name: number, value: Uint8Array, length: number) => number
  >("int setsockopt(int, int, int, const void *, unsigned int)"),
  recvmsg: bind<(fd: number, message: bigint, flags: number) => number>(
    "intptr_t recvmsg(int, void *, int)",
  ),
  recvmmsg: bind<
    (fd: number, messages: number, count: number, flags: number, timeout: null) => number
  >("int recvmmsg(int, intptr_t, unsigned int, int, void *)"),
  sendmsg: bind<(fd: number, message: bigint, flags: number) => number>(
    "intptr_t sendmsg(int, const void *, int)",
  ),
  lseek: bind<(fd: number, offset: number, whence: number) => number>(
    "int64_t lseek(int, int64_t, int)",
  ),
  sync_file_range: bind<(fd: number, offset: number, length: number, flags: number) => number>(
    "int sync_file_range(int, int64_t, int64_t, unsigned int)",
  ),
  read: bind<(fd: number, buffer: Uint8Array, length: number) => number>(
    "intptr_t read(int, void *, size_t)",
  ),
  preadv2: bind<
    (fd: number, vector: bigint, count: number, offset: number, flags: number) => number
  >("intptr_t preadv2(int, void *, int, int64_t, int)"),
  write: bind<(fd: number, buffer: Uint8Array, length: number) => number>(
    "intptr_t write(int, const void *, size_t)",
  ),
  writev: bind<(fd: number, vector: bigint, count: number) => number>(
    "intptr_t writev(int, void *, int)",
  ),
  copyOut: bind<(into: Uint8Array, from: number, length: number) => void>(
    "void memcpy(void *, intptr_t, size_t)",
  ),
  copyIn: bind<(into: number, from: Uint8Array, length: number) => void>(
    "void memcpy(intptr_t, const void *, size_t)",
  ),
  pipe2: bind<(pair: Int32Array, flags: number) => number>("int pipe2(_Out_ int *, int)"),
  splice: bind<
    (from: number, at: null, into: number, to: null, length: number, flags: number) => number
  >("intptr_t splice(int, void *, int, void *, size_t, unsigned int)"),
  poll: bind<(requests: Uint8Array, count: number, timeoutMs: number) => number>(
    "int poll(_Inout_ void *, unsigned long, int)",
  ),
  pollAsync: bindAsync<
    (
      requests: Uint8Array,
      count: number,
      timeoutMs: number,
      done: (error: Error | null) => void,
    ) => void
  >("int poll(const void *, unsigned long, int)"),
  close: bind<(fd: number) => number>("int close(int)"),
  mmap: bind<
    (
      address: null,
      length: bigint,
      protection: number,
      flags: number,
      fd: number,
      offset: bigint,
    ) => bigint | number
  >("intptr_t mmap(void *, size_t, int, int, int, int64_t)"),
  munmap: bind<(address: number, length: bigint) => number>("int munmap(intptr_t, size_t)"),
  memfdCreate: bind<(name: string, flags: number) => number>(
    "int memfd_create(const char *, unsigned int)",
  ),
  eventfd: bind<(initial: number, flags: number) => number>("int eventfd(unsigned int, int)"),
  epollCreate1: bind<(flags: number) => number>("int epoll_create1(int)"),
  epollCtl: bind<(epoll: number, operation: number, fd: number, event: Uint8Array) => number>(
    "int epoll_ctl(int, int, int, void *)",
  ),
  epollWait: bind<
    (epoll: number, events: Uint8Array, maximum: number, timeoutMs: number) => number
  >("int epoll_wait(int, void *, int, int)"),
  renameat2: bind<
    (fromDirectory: number, from: string, toDirectory: number, to: string, flags: number) => number
  >("int renameat2(int, const char *, int, const char *, unsigned int)"),
  flock: bind<(fd: number, operation: number) => number>("int flock(int, int)"),
  ptrace: bind<(request: number, pid: number, address: number, data: number) => number>(
    "long ptrace(long, int, uintptr_t, uintptr_t)",
  ),
  waitpid: bind<(pid: number, status: Int32Array, options: number) => number>(
    "int waitpid(int, _Out_ int *, int)",
  ),
  prctl: bind<(option: number, argument: number, a: number, b: number, c: number) => number>(
    "int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)",
  ),
  execv: bind<(path: string, args: readonly (string | null)[]) => number>(
    "int execv(const char *, const char **)",
  ),
  getgrnam: bind<(name: string) => bigint | number>("intptr_t getgrnam(const char *)"),
  // The C library has no functions of its own for these; their numbers are the same on every machine.
  landlockCreateRuleset: (attributes: Uint8Array | null, bytes: number, flags: number): number =>
    syscallPointer(444, attributes, bytes, flags),
  landlockAddRule: (ruleset: number, type: number, attributes: Uint8Array, flags: number): number =>
    syscallTwoAndPointer(445, ruleset, type, attributes, flags),
  landlockRestrictSelf: (ruleset: number, flags: number): number => syscallTwo(446, ruleset, flags),
  fcntl: bind<(fd: number, command: number, argument: number) => number>(
    "int fcntl(int, int, int)",
  ),
};

/** The calling thread's errno after the last call that failed. */
export function lastErrno(): number {
  return ffi().koffi.errno();
}

/**
 * `length` zeroed bytes outside the JavaScript heap, at an address that never moves: for structures
 * that hold pointers (struct msghdr). They are never freed, so allocate them once.
 */
export function allocate(length: number): { address: bigint; bytes: Uint8Array } {
  const { koffi } = ffi();
  const pointer: unknown = koffi.alloc("uint8_t", length);
  const bytes = new Uint8Array(koffi.view(pointer, length));
  bytes.fill(0);
  return { address: koffi.address(pointer), bytes };
}

/** Those in use at a time are some ten for each guest. */
const MAX_KNOWN_VIEWS = 1024;

/** By address and length. mmap(2) likes to give what munmap(2) took, so that most are asked for again. */
const knownViews = new Map<string, ArrayBuffer>();

/** ArrayBuffers that were made for memory outside of V8's, and which Node may still have to drop. */
let views = 0;

/**
 * The memory at `address` as an ArrayBuffer, which is the same one if it is asked for again: V8 takes its length for
 * memory that a collection of garbage would give back, and collects without end where there are ever more. The caller
 * sees to it that it isn't used after munmap(2).
 */
export function viewAt(address: number, length: number): ArrayBuffer {
  const key = `${address}+${length}`;
  const known = knownViews.get(key);
  if (known !== undefined) return known;
  const [oldest] = knownViews.size < MAX_KNOWN_VIEWS ? [] : knownViews.keys();
  if (oldest !== undefined) knownViews.delete(oldest);
  views++;
  const view = ffi().koffi.view(BigInt(address), length);
  knownViews.set(key, view);
  return view;
}

/** How many ArrayBuffers viewAt() has made since this was last asked. */
export function takeViewCount(): number {
  const count = views;
  views = 0;
  return count;
}
