import type { Copied, EventFormat, Syscall } from "./events.js";
import { dynamicBytes } from "./print-fmt/functions.js";
import { textOf } from "./print-fmt/value.js";

/** open(2)'s flags on x86 (asm-generic/fcntl.h), in the order in which the kernel names them. */
const OPEN_FLAGS: readonly (readonly [mask: number, name: string])[] = [
  [0o20200000, "O_TMPFILE"],
  [0o1, "O_WRONLY"],
  [0o2, "O_RDWR"],
  [0o100, "O_CREAT"],
  [0o200, "O_EXCL"],
  [0o400, "O_NOCTTY"],
  [0o1000, "O_TRUNC"],
  [0o2000, "O_APPEND"],
  [0o4000, "O_NONBLOCK"],
  [0o10000, "O_DSYNC"],
  [0o40000, "O_DIRECT"],
  [0o100000, "O_LARGEFILE"],
  [0o200000, "O_DIRECTORY"],
  [0o400000, "O_NOFOLLOW"],
  [0o1000000, "O_NOATIME"],
  [0o2000000, "O_CLOEXEC"],
];
const O_ACCMODE = 3;
const O_CREAT_OR_TMPFILE = 0o20200100;

/** The kernel copies 165 bytes at most. */
const MAX_COPIED = 1024;

const PRINTABLE = /[^ -~]/g;

/** An entry to a system call, as print_syscall_enter() shows it (kernel/trace/trace_syscalls.c). */
export function syscallEnter(syscall: Syscall, format: EventFormat): (record: Buffer) => string {
  const { name, copied } = syscall;
  const values = syscall.arguments.map((argument) => format.byName.get(argument)?.offset ?? -1);
  const value = (record: Buffer, index: number): bigint => {
    const at = values[index] ?? -1;
    return at < 0 || at + 8 > record.length ? 0n : record.readBigUInt64LE(at);
  };
  // Since Linux 7.0 openat's flags have names; its print_fmt tells that the kernel has them.
  const isOpenat = copied !== undefined && /"flags: |, flags: %s/.test(format.printFmt);
  const memory = syscall.arguments.map((argument) => format.byName.get(`__${argument}_val`));
  const bytes = (record: Buffer, index: number): Buffer => {
    const field = memory[index];
    return field === undefined ? Buffer.alloc(0) : dynamicBytes(field, record);
  };
  return (record) => {
    const shown: string[] = [];
    for (const [index, argument] of syscall.arguments.entries()) {
      const number = value(record, index);
      if (isOpenat && argument === "flags") {
        const flags = Number(BigInt.asIntN(32, number));
        shown.push(`flags: ${openFlags(flags)}`);
        // Without a file to create there is no mode.
        if ((flags & O_CREAT_OR_TMPFILE) === 0) break;
        continue;
      }
      if (isOpenat && argument === "mode") {
        shown.push(`mode: 0${BigInt.asUintN(32, number).toString(8).padStart(3, "0")}`);
        continue;
      }
      const isPlain = isOpenat || (copied !== undefined && number < 10n);
      const prefix = copied === undefined ? "" : "0x";
      const text = isPlain ? number.toString() : `${prefix}${number.toString(16)}`;
      const isCopied = copied !== undefined && (copied.mask & (1 << index)) !== 0;
      const behind = isCopied
        ? copiedMemory(copied, bytes(record, index), value(record, copied.sizeArgument))
        : "";
      shown.push(`${argument}: ${text}${behind}`);
    }
    return `${name}(${shown.join(", ")})`;
  };
}

/** A text, or bytes and what of them can be read. */
function copiedMemory(copied: Copied, all: Buffer, wanted: bigint): string {
  const bytes = all.subarray(0, MAX_COPIED);
  if (copied.sizeArgument < 0 || copied.isText) return ` "${textOf(bytes)}"`;
  const more = BigInt(bytes.length) < BigInt.asIntN(32, wanted);
  const hex = (bytes.toString("hex").match(/../g) ?? []).join(":");
  const shown = ` (${hex}${more ? ", ..." : ""})`;
  const text = bytes.toString("latin1");
  if (!/[ -~]/.test(text)) return shown;
  return `${shown} "${text.replace(PRINTABLE, ".")}"${more ? "..." : ""}`;
}

function openFlags(flags: number): string {
  if (flags === 0) return "O_RDONLY";
  let left = flags;
  const names: string[] = (flags & O_ACCMODE) === 0 ? ["O_RDONLY"] : [];
  for (const [mask, name] of OPEN_FLAGS) {
    if (left === 0) break;
    if ((left & mask) !== mask) continue;
    left &= ~mask;
    names.push(name);
  }
  if (left !== 0) names.push(`0x${(left >>> 0).toString(16)}`);
  return names.join("|");
}

export function syscallExit({ name }: Syscall, format: EventFormat): (record: Buffer) => string {
  const at = format.byName.get("ret")?.offset ?? 0;
  return (record) => {
    const value = at + 8 > record.length ? 0n : record.readBigUInt64LE(at);
    return `${name} -> 0x${value.toString(16)}`;
  };
}
