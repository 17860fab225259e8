import { readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { Qmp } from "../../src/formats/erst/qmp.js";
import { openMemory, type PhysicalMemory } from "../../src/memory/index.js";
import { findInfos } from "../../src/memory/kernel/find-info.js";
import { Kernel } from "../../src/memory/kernel/index.js";
import { kernelFits } from "../../src/memory/kernel-fits.js";
import { packHere } from "../../src/memory/vmcore/compress-pool.js";
import { writeElf } from "../../src/memory/vmcore/elf.js";
import { pagesLeftOut } from "../../src/memory/vmcore/filter.js";
import { writeKdump } from "../../src/memory/vmcore/kdump.js";
import { coreFacts } from "../../src/memory/vmcore/kernel-facts.js";
import { qemuGuest } from "../../vm/guest.js";
import { dumpGuestMemory } from "../../vm/qemu-dump.js";
import { describeGuests, startGuest, temporaryFolder } from "./support.js";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

interface StoppedGuest {
  readonly pid: number;
  readonly qmp: Qmp;
  readonly folder: string;
}

/** A guest that booted, with such options for its machine and memory, and stands still. */
async function stoppedGuest(...options: readonly string[]): Promise<StoppedGuest> {
  const folder = temporaryFolder();
  const socket = join(folder, "qmp");
  const argv = await qemuGuest({
    kernel: "6.1",
    driver: false,
    bzImage: true,
    script: "echo online > /sys/devices/system/memory/auto_online_blocks; echo BOOTED; read _\n",
    arguments: [...options, "-qmp", `unix:${socket},server=on,wait=off`],
  });
  const guest = startGuest(argv);
  await guest.printed("BOOTED");
  const qmp = await Qmp.open(socket);
  onTestFinished(() => {
    qmp.close();
  });
  await qmp.execute("stop");
  return { pid: guest.pid, qmp, folder };
}

function opened(source: string | number): PhysicalMemory {
  const memory = openMemory(source, { fits: kernelFits });
  onTestFinished(() => {
    memory.close();
  });
  return memory;
}

/** In pages. */
const residentPages = (pid: number): number =>
  Number(readFileSync(`/proc/${pid}/statm`, "latin1").split(" ")[1]);

const releases = (memory: PhysicalMemory): string[] =>
  findInfos(memory).map(({ info }) => info.release);

const kernelOf = (memory: PhysicalMemory): Kernel => {
  const [found] = findInfos(memory);
  if (found === undefined) throw new Error("no kernel");
  return new Kernel(memory, found);
};

/** All of a memory, but what lies where devices have theirs: a core may have that or not. */
function expectSame(found: PhysicalMemory, wanted: PhysicalMemory): void {
  const [one, other] = [Buffer.alloc(MIB), Buffer.alloc(MIB)];
  for (const { start, size } of wanted.extents()) {
    for (let at = Math.max(start, MIB); at < start + size; at += MIB) {
      const count = Math.min(MIB, start + size - at);
      found.read(at, one.subarray(0, count));
      wanted.read(at, other.subarray(0, count));
      expect(one.compare(other, 0, count, 0, count), `at ${at}`).toBe(0);
    }
  }
}

function readAll(memory: PhysicalMemory): void {
  const into = Buffer.alloc(MIB);
  for (const { start, size } of memory.regions) {
    for (let at = start; at < start + size; at += MIB) memory.read(at, into);
  }
}

describeGuests("a guest's memory from outside", () => {
  it("is read from QEMU's process, unshared and with a DIMM that was plugged in, and doesn't grow", async () => {
    const { pid, qmp } = await stoppedGuest("-m", "256M,slots=2,maxmem=4G");
    await qmp.execute("object-add", { "qom-type": "memory-backend-ram", id: "d", size: 128 * MIB });
    await qmp.execute("device_add", { driver: "pc-dimm", id: "dimm", memdev: "d" });
    const memory = opened(pid);
    expect(memory.regions).toEqual([
      { start: 0, size: 256 * MIB },
      { start: 4 * GIB, size: 128 * MIB },
    ]);
    const before = residentPages(pid);
    expect(releases(memory)).toEqual([expect.stringMatching(/^6\.1\./)]);
    readAll(memory);
    expect(residentPages(pid) - before).toBeLessThan(256);
  });

  it("is laid out as the kernel has it, where a file's size allows several layouts", async () => {
    const { pid } = await stoppedGuest(
      ...["-machine", "pc,memory-backend=mem", "-m", "5G"],
      ...["-object", "memory-backend-memfd,id=mem,size=5G,share=on"],
    );
    const regions = [
      { start: 0, size: 3 * GIB },
      { start: 4 * GIB, size: 2 * GIB },
    ];
    const memory = opened(pid);
    expect(memory.regions).toEqual(regions);
    const memfd = readFileSync(`/proc/${pid}/maps`, "latin1").match(/rw-s .* (\d+) +\/memfd:/)?.[1];
    const fd = Array.from({ length: 64 }, (_, i) => `/proc/${pid}/fd/${i}`).find(
      (path) => statSync(path, { throwIfNoEntry: false })?.ino === Number(memfd),
    );
    const file = opened(fd ?? "");
    expect(file.regions).toEqual(regions);
    const before = { pages: residentPages(pid), blocks: statSync(fd ?? "").blocks };
    expect(releases(file)).toEqual(releases(memory));
    readAll(file);
    expect({ pages: residentPages(pid), blocks: statSync(fd ?? "").blocks }).toEqual(before);
  });

  it("is in cores, ours and QEMU's", async () => {
    const { qmp, folder } = await stoppedGuest(
      ...["-machine", "memory-backend=mem", "-m", "256M"],
      ...[
        "-object",
        `memory-backend-file,id=mem,size=256M,share=on,mem-path=/dev/shm/virtio-pstore-${process.pid}`,
      ],
    );
    const path = `/dev/shm/virtio-pstore-${process.pid}`;
    onTestFinished(() => {
      rmSync(path, { force: true });
    });
    const memory = opened(path);
    const { blocks } = statSync(path);
    const kernel = kernelOf(memory);
    const facts = coreFacts(kernel);
    const core = (name: string) => join(folder, name);
    const packer = packHere("zlib");
    onTestFinished(() => packer.close());
    await writeElf(memory, core("elf"), facts);
    await writeKdump(memory, core("kdump"), facts, undefined, { compression: "zlib", packer });
    for (const name of ["elf", "kdump"]) expectSame(opened(core(name)), memory);
    // QEMU fills all of it when it writes a core.
    expect(statSync(path).blocks).toBe(blocks);
    for (const format of ["elf", "kdump-zlib", "kdump-raw-zlib"]) {
      await dumpGuestMemory(qmp, core(format), format);
      expectSame(opened(core(format)), memory);
      expect(releases(opened(core(format)))).toEqual([kernel.info.release]);
    }

    const leftOut = await pagesLeftOut(
      kernel,
      memory.extents(),
      new Set(["free", "cache", "user"]),
    );
    await writeElf(memory, core("filtered"), facts, leftOut);
    const filtered = kernelOf(opened(core("filtered")));
    expect(filtered.info.text).toBe(kernel.info.text);
    expect(filtered.modules.map(({ name }) => name)).toEqual(
      kernel.modules.map(({ name }) => name),
    );
    expect(filtered.notes.take()).toEqual(kernel.notes.take());
    expect(statSync(core("filtered")).blocks).toBeLessThan(statSync(core("elf")).blocks);
  });
});
