import { allocate, libc } from "../../src/os/libc.js";

export const MSG_OOB = 1;
const MSG_DONTWAIT = 0x40;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
/** SCM_MAX_FD */
const MOST = 253;

// struct msghdr, iovec, cmsghdr with descriptors, data (LP64).
const IOVEC = 56;
const CONTROL = 72;
const DATA = CONTROL + 16 + 4 * (MOST + 1);
const { address, bytes: memory } = allocate(DATA + 4096);
const fields = new DataView(memory.buffer);

/** sendmsg(2) as a front-end of bad will uses it: with up to 253 descriptors, and flags such as MSG_OOB. */
export function rawSend(
  fd: number,
  bytes: Uint8Array,
  descriptors: readonly number[] = [],
  flags = 0,
): void {
  const controlBytes = 16 + 4 * descriptors.length;
  fields.setBigUint64(16, address + BigInt(IOVEC), true);
  fields.setBigUint64(24, 1n, true);
  fields.setBigUint64(32, address + BigInt(CONTROL), true);
  fields.setBigUint64(40, BigInt(descriptors.length === 0 ? 0 : controlBytes), true);
  fields.setBigUint64(IOVEC, address + BigInt(DATA), true);
  fields.setBigUint64(IOVEC + 8, BigInt(bytes.length), true);
  fields.setBigUint64(CONTROL, BigInt(controlBytes), true);
  fields.setInt32(CONTROL + 8, SOL_SOCKET, true);
  fields.setInt32(CONTROL + 12, SCM_RIGHTS, true);
  descriptors.forEach((descriptor, i) => {
    fields.setInt32(CONTROL + 16 + 4 * i, descriptor, true);
  });
  memory.set(bytes, DATA);
  const count = libc.sendmsg(fd, address, MSG_DONTWAIT | flags);
  if (count !== bytes.length) throw new Error(`sendmsg returned ${count}, not ${bytes.length}`);
}
