/** What an unwinder needs of a CPU's registers, by the names of Linux's struct pt_regs. */
export const REGISTER_NAMES = [
  ...(["ip", "sp", "flags", "cs"] as const),
  ...(["bp", "ax", "dx", "di", "r10", "r13"] as const),
] as const;

export type Registers = Readonly<Record<(typeof REGISTER_NAMES)[number], bigint>>;

/** struct user_regs_struct of x86-64, in its order: what a core has of a CPU, 8 bytes each. */
export const USER_REGISTER_NAMES = [
  ...(["r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8"] as const),
  ...(["ax", "cx", "dx", "si", "di", "orig_ax", "ip", "cs", "flags", "sp", "ss"] as const),
  ...(["fs_base", "gs_base", "ds", "es", "fs", "gs"] as const),
] as const;

export type UserRegisters = Readonly<Record<(typeof USER_REGISTER_NAMES)[number], bigint>>;

/** A core's note of a CPU: its type (NT_PRSTATUS), and where in struct elf_prstatus of x86-64 pid and registers are. */
export const PRSTATUS = { TYPE: 1, bytes: 336, pidAt: 32, registersAt: 112 } as const;

/** Of RFLAGS: interrupts are on (Intel SDM, volume 1, 3.4.3). */
const INTERRUPTS_ON = 1n << 9n;

/** Whether they are those of a process, not of the kernel. */
export const isUserMode = ({ cs }: Pick<Registers, "cs">): boolean => (cs & 3n) !== 0n;

export const areInterruptsOn = ({ flags }: Registers): boolean => (flags & INTERRUPTS_ON) !== 0n;
