import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { UserError } from "../../service/errors.js";
import { deviceHelp, qemu } from "./qemu.js";
import { memoryArguments, memorySize } from "./qemu-memory.js";

const words = (line: string) => (line === "" ? [] : line.split(" "));

const MIB = 1 << 20;

describe("the guest's memory as -m gives it", () => {
  test.each([
    ["", 128 * MIB],
    ["-smp 2", 128 * MIB],
    ["-m 512", 512 * MIB],
    ["-m 512M", 512 * MIB],
    ["--m 1G", 1024 * MIB],
    ["-m size=1G,slots=2", 1024 * MIB],
    ["-m 2G,slots=4,maxmem=8G", 2048 * MIB],
    ["-m slots=4,size=256,maxmem=8G", 256 * MIB],
    ["-m slots=4,maxmem=8G", 128 * MIB],
    ["-m 1G -m 2G", 2048 * MIB],
    ["-m 1G -m slots=4,maxmem=8G", 1024 * MIB],
    ["-m 1048576K", 1024 * MIB],
    ["-m 1.5G", 1536 * MIB],
    ["-m size=0.5g", 512 * MIB],
    ["-m 1.G", 1024 * MIB],
    ["-m 1T", 1024 * 1024 * MIB],
    ["-m 134217728B", 128 * MIB],
    ["-m 0", 128 * MIB],
    // As QEMU 11 rounds.
    ["-m 10001K", 10248192],
    ["-m 100.0078129M", 100 * MIB + 8192],
    ["-m 512B", 8192],
  ])("%s", (line, bytes) => {
    expect(memorySize(words(line))).toBe(bytes);
  });

  test.each(["1.5", "lots", "size=,slots=1", "512MB", "1e3", "0x10", "1.5B", "-1", "9999P"])(
    "-m %s isn't understood",
    (size) => {
      expect(() => memorySize(["-m", size])).toThrow(UserError);
      expect(() => memorySize(["-m", size])).toThrow("such as 512M or 1.5G");
    },
  );
});

describe("what shares the memory", () => {
  const shared = (mib: number) => [
    "-object",
    `memory-backend-memfd,id=virtio-pstore-memory,size=${mib * MIB},share=on`,
    "-machine",
    "memory-backend=virtio-pstore-memory",
  ];

  test.each([
    ["", 128],
    ["-m 1G -machine q35,accel=kvm", 1024],
    ["-M q35 -object rng-random,id=rng0", 128],
    ["-numa dist,src=0,dst=1,val=20", 128],
  ])("%s: is added", (line, mib) => {
    expect(memoryArguments(words(line))).toEqual(shared(mib));
  });

  test.each([
    "-object memory-backend-memfd,id=m,size=1G,share=on -machine q35,memory-backend=m",
    "-object memory-backend-memfd,id=m,size=1G -M memory-backend=m",
    "-object memory-backend-file,id=m,mem-path=/dev/shm/x,size=1G,share=yes -M q35,memory-backend=m",
    "-object memory-backend-shm,id=m,size=1G -machine memory-backend=m",
    "-object memory-backend-ram,share=true,id=m,size=1G -machine memory-backend=m",
    "-object memory-backend-memfd,id=a,size=1G -object memory-backend-memfd,id=b,size=1G -numa node,memdev=a -numa node,memdev=b",
    "-machine memory-backend=elsewhere -readconfig file",
    "-object memory-backend-ram,id=m,share -machine memory-backend=m",
    "-object memory-backend-file,mem-path=/a,,id=b,,,id=m,share=on -M memory-backend=m",
    "-object memory-backend-ram,id=a,size=1G -object memory-backend-memfd,id=b,size=1G -M memory-backend=a -M memory-backend=b",
    '-object {"qom-type":"memory-backend-memfd","id":"m","size":1073741824} -M memory-backend=m',
    '-object {"qom-type":"memory-backend-ram","id":"m","size":1073741824,"share":true} -M memory-backend=m',
  ])("%s: is the command line's own matter", (line) => {
    expect(memoryArguments(words(line))).toEqual([]);
  });

  test.each([
    ["-object memory-backend-ram,id=m,size=1G -machine memory-backend=m", "m isn't shared"],
    ["-object memory-backend-memfd,id=m,size=1G,share=off -M memory-backend=m", "m isn't shared"],
    ["-object memory-backend-file,id=m,mem-path=/x,size=1G -M memory-backend=m", "m isn't shared"],
    [
      "-object memory-backend-memfd,id=a,size=1G -object memory-backend-ram,id=b,size=1G -numa node,memdev=a -numa node,memdev=b",
      "b isn't shared",
    ],
    ["-mem-path /dev/hugepages", "-mem-path"],
    ["-numa node,mem=512M", "-numa"],
    ["-numa node,cpus=0-1", "-numa node,memdev=ID"],
    ["-M memory-backend=m", "memory backend m isn't defined: add -object"],
    ["-object rng-random,id=r -numa node,memdev=m", "memory backend m isn't defined"],
    [
      '-object {"qom-type":"memory-backend-memfd","id":"m","share":false} -M memory-backend=m',
      "m isn't shared",
    ],
    ['-object {"qom-type":"memory-backend-ram","id":"m"} -M memory-backend=m', "m isn't shared"],
    ["-object {'qom-type':'memory-backend-memfd','id':'m'} -M memory-backend=m", "double quotes"],
  ])("%s: is refused, since it can't be shared", (line, message) => {
    expect(() => memoryArguments(words(line))).toThrow(UserError);
    expect(() => memoryArguments(words(line))).toThrow(message);
  });
});

test("-daemonize is refused: QEMU couldn't be followed", () => {
  expect(() => qemu.check("/bin/true", ["-daemonize"])).toThrow("-daemonize");
});

test("a QEMU that isn't there ends with status 127", () => {
  expect(() => qemu.check("/no/qemu-system-x86_64", [])).toThrow(
    expect.objectContaining({ exitStatus: 127 }),
  );
});

test.each(["-M microvm", "-machine type=microvm,acpi=off", "-M q35 -M microvm", "-M isapc"])(
  "%s has no PCI bus, and is refused",
  (line) => {
    expect(() => qemu.check("/no/qemu", words(line))).toThrow("no PCI bus");
  },
);

test.each(["-M microvm,pcie=on", "-M microvm -M q35", "-M accel=kvm"])("%s is taken", (line) => {
  // What comes next: the command isn't there.
  expect(() => qemu.check("/no/qemu", words(line))).toThrow("no such command");
});

test("a QEMU that doesn't end is told as that, and ended", () => {
  const folder = mkdtempSync(join(tmpdir(), "pstore-qemu-"));
  try {
    const command = join(folder, "qemu-system-stuck");
    writeFileSync(command, "#!/bin/sh\nexec sleep 1000\n");
    chmodSync(command, 0o755);
    expect(() => deviceHelp(command, 0.2)).toThrow(
      `\`${command} -device help\` doesn't end within 0.2 s`,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
