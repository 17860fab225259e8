import { constants } from "node:fs";
import { type Bytes, copyOf, SystemError } from "../../src/os/index.js";
import { type Files, systemFiles } from "../../src/store/files.js";

export type FileCall = keyof Files;

/** Around each system call of a store: does it, with run(), or doesn't, or does more. */
export type Around = (call: FileCall, args: readonly unknown[], run: () => unknown) => unknown;

export function wrapFiles(around: Around): Files {
  const calls = Object.entries(systemFiles) as [FileCall, (...args: unknown[]) => unknown][];
  const wrapped = calls.map(([name, call]) => [
    name,
    (...args: unknown[]) => around(name, args, () => call(...args)),
  ]);
  return Object.fromEntries(wrapped) as Files;
}

const CHANGING: readonly FileCall[] = [
  "write",
  "truncate",
  "mkdir",
  "renameNew",
  "rename",
  "unlink",
  "sync",
  "datasync",
];

/** Whether a call changes anything on the disk, or makes that durable. */
export function changes(call: FileCall, args: readonly unknown[]): boolean {
  if (call === "open") return ((args[1] as number) & constants.O_CREAT) !== 0;
  return CHANGING.includes(call);
}

/** Has the first half of a write(), as a full disk or a killed process leaves it. */
export function writeHalf([fd, data]: readonly unknown[]): void {
  const bytes = copyOf(data as Bytes[]);
  systemFiles.write(fd as number, [bytes.subarray(0, bytes.length >> 1)]);
}

export const failure = (call: FileCall, number: number): SystemError =>
  new SystemError(call, number, "on purpose");
