import type { Kernel, Struct } from "../kernel/index.js";

/** The locks that a task waits for in a list of the lock's. */
export interface LockKind {
  /** As the kernel's type is called. */
  readonly type: "mutex" | "rw_semaphore" | "semaphore" | "rt_mutex_base";
  /** What a waiting task has on its stack. */
  readonly waiter: string;
  /** The function that has it there. */
  readonly waitsIn: RegExp;
  holder(kernel: Kernel, lock: Struct): Holder;
}

/** Who holds a lock, as far as the lock tells. */
export interface Holder {
  /** The address of a task's structure; undefined where the lock names none. */
  readonly task: bigint | undefined;
  /** Where it isn't simply held by that task: readers share it, or the lock doesn't say who holds it. */
  readonly how?: "readers" | "not told";
  /** Of a lock that readers share: how many hold it. */
  readonly readers?: number;
}

/** The low bits of an owner are flags: tasks are aligned. */
const OWNER_FLAGS = 7n;
const RWSEM_READER_OWNED = 1n;
/** The readers are counted above the flags. */
const RWSEM_READER_SHIFT = 8n;

const taskOrNone = (address: bigint): bigint | undefined => (address === 0n ? undefined : address);

export const MUTEX: LockKind = {
  type: "mutex",
  waiter: "mutex_waiter",
  waitsIn: /^_*(?:ww_)?mutex_lock/,
  holder: (_, lock) => ({ task: taskOrNone(lock.u64("owner.counter") & ~OWNER_FLAGS) }),
};

export const RW_SEMAPHORE: LockKind = {
  type: "rw_semaphore",
  waiter: "rwsem_waiter",
  waitsIn: /^_*rwsem_down_(?:read|write)/,
  holder(_, lock) {
    const owner = lock.u64("owner.counter");
    const task = taskOrNone(owner & ~OWNER_FLAGS);
    if ((owner & RWSEM_READER_OWNED) === 0n) return { task };
    const readers = Number(BigInt.asUintN(32, lock.u64("count.counter") >> RWSEM_READER_SHIFT));
    return { task, how: "readers", readers };
  },
};

export const SEMAPHORE: LockKind = {
  type: "semaphore",
  waiter: "semaphore_waiter",
  waitsIn: /^_*down(?:$|\.|_common|_interruptible|_killable|_timeout)/,
  holder(_, lock) {
    // Since 6.16, with CONFIG_DETECT_HUNG_TASK_BLOCKER: the last one that took it.
    const task = lock.has("last_holder") ? taskOrNone(lock.u64("last_holder")) : undefined;
    return { task, how: "not told" };
  },
};

export const RT_MUTEX: Pick<LockKind, "type" | "holder"> = {
  type: "rt_mutex_base",
  holder: (_, lock) => ({ task: taskOrNone(lock.pointer("owner") & ~OWNER_FLAGS) }),
};

/** Those whose waiters are on stacks. */
export const LISTED_KINDS: readonly LockKind[] = [MUTEX, RW_SEMAPHORE, SEMAPHORE];
