import { describe, expect, test } from "vitest";
import { UserError } from "../errors.js";
import { memoryArguments, memorySize, qemu } from "./qemu.js";

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
  ])("%s", (line, bytes) => {
    expect(memorySize(words(line))).toBe(bytes);
  });

  test.each(["-m 1.5G", "-m lots", "-m size=,slots=1"])("%s isn't understood", (line) => {
    expect(() => memorySize(words(line))).toThrow(UserError);
  });
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
    ["-numa node,cpus=0-1", 128],
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
    "-machine memory-backend=elsewhere",
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
  ])("%s: is refused, since it can't be shared", (line, message) => {
    expect(() => memoryArguments(words(line))).toThrow(UserError);
    expect(() => memoryArguments(words(line))).toThrow(message);
  });
});

test("-daemonize is refused: QEMU couldn't be followed", () => {
  expect(() => qemu.addDevice("/bin/true", ["-daemonize"], "/socket")).toThrow("-daemonize");
});

test("a QEMU that isn't there ends with status 127", () => {
  expect(() => qemu.addDevice("/no/qemu-system-x86_64", [], "/socket")).toThrow(
    expect.objectContaining({ exitStatus: 127 }),
  );
});
