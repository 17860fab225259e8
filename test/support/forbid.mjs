// node forbid.mjs NAME ACTION PROGRAM ARGUMENTS...: becomes Node with a program that may not make one system call.
// ACTION: EPERM, with which the call fails then, or KILL. As seccomp profiles of containers do (seccomp(2)).
import { constants } from "node:os";
import { replaceProcess } from "../../dist/src/os/index.js";
import { allocate, libc } from "../../dist/src/os/libc.js";

const NUMBERS = {
  x64: { memfd_create: 319, splice: 275 },
  arm64: { memfd_create: 279, splice: 76 },
};
const PR_SET_SECCOMP = 22;
const PR_SET_NO_NEW_PRIVS = 38;
const SECCOMP_MODE_FILTER = 2;
const RETURN = { EPERM: 0x00050000 | constants.errno.EPERM, KILL: 0x80000000, ALLOW: 0x7fff0000 };
/** BPF_LD | BPF_W | BPF_ABS, BPF_JMP | BPF_JEQ | BPF_K, BPF_RET | BPF_K. */
const [LOAD, JUMP_IF_EQUAL, RET] = [0x20, 0x15, 0x06];

const [name, action, program, ...args] = process.argv.slice(2);
const filter = [
  [LOAD, 0, 0, 0],
  [JUMP_IF_EQUAL, 0, 1, NUMBERS[process.arch][name]],
  [RET, 0, 0, RETURN[action]],
  [RET, 0, 0, RETURN.ALLOW],
];
const code = allocate(8 * filter.length);
filter.forEach(([op, yes, no, k], i) => {
  const at = new DataView(code.bytes.buffer, code.bytes.byteOffset + 8 * i);
  at.setUint16(0, op, true);
  at.setUint8(2, yes);
  at.setUint8(3, no);
  at.setUint32(4, k, true);
});
// struct sock_fprog: len u16, filter a pointer at 8.
const head = allocate(16);
const fields = new DataView(head.bytes.buffer, head.bytes.byteOffset);
fields.setUint16(0, filter.length, true);
fields.setBigUint64(8, code.address, true);
for (const call of [
  [PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0],
  [PR_SET_SECCOMP, SECCOMP_MODE_FILTER, head.address, 0, 0],
]) {
  if (libc.prctl(...call) !== 0) throw new Error(`prctl ${call[0]}`);
}
replaceProcess(process.execPath, [program, ...args], []);
