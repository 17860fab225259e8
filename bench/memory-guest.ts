import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Qmp } from "../src/formats/erst/qmp.js";
import { qemuGuest } from "../vm/guest.js";
import type { KernelName } from "../vm/kernel.js";
import { dumpGuestMemory } from "../vm/qemu-dump.js";

const READY = "GUEST-READY";

/** The kernel counts a process's time in these (sysconf(_SC_CLK_TCK)). */
const TICKS_PER_SECOND = 100;

/** What one of QEMU's dumps took. */
export interface QemuDump {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

/** A guest whose memory is a file. It has files in its page cache and a trace, and stands still. */
export class StillGuest {
  readonly memory: string;
  readonly #child: ChildProcess;
  readonly #qmp: Qmp;

  private constructor(memory: string, child: ChildProcess, qmp: Qmp) {
    this.memory = memory;
    this.#child = child;
    this.#qmp = qmp;
  }

  static async boot(kernel: KernelName, folder: string, memoryMiB: number): Promise<StillGuest> {
    const memory = join(folder, "memory");
    const socket = join(folder, "qmp");
    const [command = "", ...args] = await qemuGuest({
      kernel,
      driver: false,
      bzImage: true,
      memoryMiB,
      script: script(memoryMiB),
      append: "loglevel=1",
      arguments: [
        ...["-smp", "2", "-qmp", `unix:${socket},server=on,wait=off`],
        ...["-object", `memory-backend-file,id=mem,size=${memoryMiB}M,mem-path=${memory},share=on`],
        ...["-machine", "memory-backend=mem"],
      ],
    });
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
    try {
      let output = "";
      for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
        output += chunk.toString();
        if (output.includes(READY)) break;
      }
      if (!output.includes(READY)) throw new Error(`the guest ended: ${output}`);
      const qmp = await Qmp.open(socket);
      await qmp.execute("stop");
      return new StillGuest(memory, child, qmp);
    } catch (error) {
      child.kill("SIGKILL");
      throw error;
    }
  }

  /** Bytes of QEMU that are in the host's memory. */
  residentBytes(): number {
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(this.#proc("status"))?.[1]) * 1024;
  }

  /** Bytes of the memory's file that the host's disk has. */
  allocatedBytes(): number {
    return statSync(this.memory).blocks * 512;
  }

  /** QEMU's own dump. */
  async dump(path: string, format: string): Promise<QemuDump> {
    const cpuBefore = this.#cpuSeconds();
    const began = performance.now();
    await dumpGuestMemory(this.#qmp, path, format);
    const seconds = (performance.now() - began) / 1000;
    return { seconds, cpuSeconds: this.#cpuSeconds() - cpuBefore };
  }

  async end(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#qmp.close();
    this.#child.kill("SIGKILL");
    await ended;
  }

  #cpuSeconds(): number {
    // Behind the name, which may hold blanks, come the fields from the third on.
    const fields = this.#proc("stat")
      .replace(/^.*\) /s, "")
      .split(" ");
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  }

  #proc(name: string): string {
    return readFileSync(`/proc/${this.#child.pid}/${name}`, "latin1");
  }
}

/** An eighth of the memory becomes files: copies of the kernel's modules and of the programs there are. */
const script = (memoryMiB: number): string => `
cd /sys/kernel/tracing
echo 1 > events/sched/enable; echo 1 > events/irq/enable; echo 1 > events/syscalls/enable
cd /
cat /bin/busybox /*.ko > /files-1
n=$((${memoryMiB / 8} * 1048576 / $(wc -c < /files-1)))
while [ $n -gt 1 ]; do cp /files-1 /files-$n; n=$((n - 1)); done
sh -c 'while :; do sleep 1000; done' &
echo 0 > /sys/kernel/tracing/tracing_on
echo ${READY}
sleep 100000
`;
