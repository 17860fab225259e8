import { hex } from "../guest-text.js";
import type { Kernel, Struct } from "../kernel/index.js";
import { LISTED_KINDS, type LockKind, MUTEX, RT_MUTEX } from "./kinds.js";

/** What a task waits for. */
export interface LockWait {
  readonly kind: Pick<LockKind, "type" | "holder">;
  readonly lock: Struct;
}

/** Above a sleeping task's stack pointer: the scheduler's frames, then the one that waits for a lock. */
const FRAMES_BYTES = 2048;
/** No kernel's stacks are larger. */
const MAX_STACK_BYTES = 32n << 10n;
/** More tasks don't wait for one lock. */
const MAX_WAITERS = 100_000;

/** A symbol's name costs so much, in units of the budget. */
const WORK_PER_NAME = 4;

/** The addresses of the guest's tasks. */
type TaskAddresses = Pick<ReadonlySet<bigint>, "has">;

/** Finds which lock a task waits for, that doesn't run; undefined where it waits for none that is known. */
export function lockWaitOf(
  kernel: Kernel,
  task: Struct,
  tasks: TaskAddresses,
  frames: WaitingFrames,
): LockWait | undefined {
  if (task.has("pi_blocked_on")) {
    const lock = task.follow("pi_blocked_on")?.follow("lock");
    if (lock !== undefined) return { kind: RT_MUTEX, lock };
  }
  if (task.has("blocked_on")) {
    // Some kernels' points to the waiter.
    const lock = task.follow("blocked_on");
    if (lock?.type.name === MUTEX.type && isMapped(kernel, lock.address)) {
      return { kind: MUTEX, lock };
    }
  }
  return onStack(kernel, task, tasks, frames);
}

const isMapped = (kernel: Kernel, address: bigint) => kernel.translate(address) !== undefined;

/** A waiter on its stack names the task, and is in the list of the lock. */
function onStack(
  kernel: Kernel,
  task: Struct,
  tasks: TaskAddresses,
  frames: WaitingFrames,
): LockWait | undefined {
  const pointer = task.u64("thread.sp");
  const base = task.pointer("stack");
  if (pointer < base || pointer >= base + MAX_STACK_BYTES) return undefined;
  // The page that follows the stack isn't mapped.
  const toPageEnd = (page: bigint) => Number(4096n - (pointer & 4095n)) + Number(page) * 4096;
  const isWhole = isMapped(kernel, pointer + BigInt(FRAMES_BYTES));
  const stack = kernel.read(
    pointer,
    isWhole ? FRAMES_BYTES : Math.min(toPageEnd(0n), FRAMES_BYTES),
  );
  const words = Array.from({ length: stack.length >> 3 }, (_, i) => stack.readBigUInt64LE(i * 8));
  let kind: LockKind | undefined;
  for (const [i, word] of words.entries()) {
    kind = frames.kindAt(word) ?? kind;
    if (kind === undefined || word !== task.address) continue;
    const taskAt = kernel.expectTypes().expect(kind.waiter).offset("task");
    const waiter = kernel.struct(kind.waiter, pointer + BigInt(i * 8 - taskAt));
    const lock = lockOf(kernel, kind, waiter, words, tasks);
    if (lock !== undefined) return { kind, lock: kernel.struct(kind.type, lock) };
  }
  return undefined;
}

/** What kind of lock is waited for, by the return address into the function that waits. */
export class WaitingFrames {
  readonly #kernel: Kernel;
  /** Most tasks wait in the same functions. */
  readonly #known = new Map<bigint, LockKind | undefined>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  kindAt(word: bigint): LockKind | undefined {
    // Addresses below are of the direct map and of stacks, which have no symbols.
    if (word < 0xffff_ffff_8000_0000n) return undefined;
    if (!this.#known.has(word)) {
      this.#kernel.budget.spend(WORK_PER_NAME);
      const name = this.#kernel.symbols?.at(word - 1n)?.name;
      const kind = LISTED_KINDS.find(({ waitsIn }) => name !== undefined && waitsIn.test(name));
      this.#known.set(word, kind);
    }
    return this.#known.get(word);
  }
}

/** Where the list leads to; since 7.1 a list has no head: the lock points to its first waiter. */
function lockOf(
  kernel: Kernel,
  { type, waiter: waiterType }: LockKind,
  waiter: Struct,
  words: readonly bigint[],
  tasks: TaskAddresses,
): bigint | undefined {
  const lockType = kernel.expectTypes().expect(type);
  const ring = ringOf(kernel, waiterType, waiter, tasks);
  if (ring === undefined) return undefined;
  if (lockType.has("wait_list")) {
    return ring.head === undefined ? undefined : ring.head - BigInt(lockType.offset("wait_list"));
  }
  const first = BigInt(lockType.offset("first_waiter"));
  const isLock = (word: bigint) =>
    (word & 7n) === 0n &&
    isMapped(kernel, word + first) &&
    ring.waiters.has(kernel.pointer(word + first));
  return words.find(isLock);
}

interface Ring {
  readonly waiters: ReadonlySet<bigint>;
  /** What is in the circle, but on no waiting task's stack. */
  readonly head: bigint | undefined;
}

function ringOf(
  kernel: Kernel,
  type: string,
  first: Struct,
  tasks: TaskAddresses,
): Ring | undefined {
  const waiters = new Set<bigint>();
  const listAt = BigInt(kernel.expectTypes().expect(type).offset("list"));
  const previousAt = BigInt(kernel.expectTypes().expect("list_head").offset("prev"));
  let head: bigint | undefined;
  let at = first.at("list");
  do {
    const waiter = kernel.struct(type, at - listAt);
    const next = kernel.struct("list_head", at);
    if (isWaiter(kernel, waiter, tasks)) waiters.add(waiter.address);
    else if (head === undefined) head = at;
    else return undefined;
    const following = next.pointer("next");
    // A word that looks like a waiter, but isn't in a list.
    if (!isMapped(kernel, following)) return undefined;
    if (kernel.pointer(following + previousAt) !== at) return undefined;
    at = following;
    if (waiters.size > MAX_WAITERS) {
      kernel.notes.add(`locks: the list at ${hex(at)} has no end`);
      return undefined;
    }
  } while (at !== first.at("list"));
  return { waiters, head };
}

/** It lies on the stack of the task that it names. */
function isWaiter(kernel: Kernel, waiter: Struct, tasks: TaskAddresses): boolean {
  if (!isMapped(kernel, waiter.at("task"))) return false;
  const task = kernel.pointer(waiter.at("task"));
  // The words behind a lock may lead anywhere, also back to the lock.
  if (!tasks.has(task)) return false;
  const stackAt = BigInt(kernel.expectTypes().expect("task_struct").offset("stack"));
  const base = kernel.pointer(task + stackAt);
  return waiter.address >= base && waiter.address < base + MAX_STACK_BYTES;
}
