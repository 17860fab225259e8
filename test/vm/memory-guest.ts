import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type QemuGuestOptions, qemuGuest } from "../../vm/guest.js";
import { type RunningGuest, startGuest, temporaryFolder } from "./support.js";

export interface MemoryGuest extends RunningGuest {
  /** The file behind the guest's memory; it is there until the test is over. */
  readonly memory: string;
  /** QEMU's monitor. */
  readonly qmp: string;
  /** A file that the guest's script made in /out, before `hand_over`. */
  told(name: string): Buffer;
  /** SIGKILL to QEMU; resolves when it is gone. */
  kill(): Promise<void>;
}

export interface MemoryGuestOptions extends QemuGuestOptions {
  /** As QEMU's -cpu takes it. */
  readonly cpu?: string;
  /** A reset boots the guest again. */
  readonly reboots?: boolean;
}

/** The end of a guest's script: what lies in /out goes to the host, then the guest waits. */
export const HAND_OVER = `
stty raw -F /dev/ttyS1
tar -cz -C /out . -f /dev/ttyS1
echo OUT-DONE
sleep 100000
`;

/**
 * Starts a guest whose memory is a file, and waits until its script has handed over what it found. KASLR is on: the
 * bzImage decides where it goes.
 */
export async function memoryGuest(options: MemoryGuestOptions): Promise<MemoryGuest> {
  const folder = temporaryFolder();
  const memory = join(folder, "memory");
  const qmp = join(folder, "qmp");
  const out = join(folder, "out.tar.gz");
  const size = options.memoryMiB ?? 256;
  const argv = await qemuGuest({
    driver: false,
    bzImage: true,
    ...options,
    memoryMiB: size,
    script: `mkdir -p /out; echo 0 > /proc/sys/kernel/kptr_restrict\n${options.script}`,
    arguments: [
      ...["-smp", "2", "-serial", `file:${out}`],
      ...["-object", `memory-backend-file,id=mem,size=${size}M,mem-path=${memory},share=on`],
      ...["-machine", "memory-backend=mem", "-qmp", `unix:${qmp},server=on,wait=off`],
      ...(options.cpu === undefined ? [] : ["-cpu", options.cpu]),
      ...(options.arguments ?? []),
    ],
  });
  const guest = startGuest(argv.filter((word) => word !== "-no-reboot" || !options.reboots));
  await guest.printed("OUT-DONE");
  return {
    ...guest,
    ...{ memory, qmp },
    told: (name) => {
      const packed = readFileSync(out);
      return execFileSync("tar", ["-xzO", `./${name}`], { input: packed, maxBuffer: 64 << 20 });
    },
    kill: async () => {
      process.kill(guest.pid, "SIGKILL");
      await guest.ended;
    },
  };
}
