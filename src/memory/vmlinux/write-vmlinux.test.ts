import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { btfOf, info } from "../../../test/support/made-btf.js";
import { readFrames } from "../../../test/support/read-dwarf.js";
import { ElfReader } from "../../../test/support/read-elf.js";
import { memoryOf, tinyKernel } from "../../../test/support/tiny-kernel.js";
import { readElfFile } from "../../analysis/symbols/elf-file.js";
import { Btf, Kind, openKernel } from "../kernel/index.js";
import { vmlinuxOf, writeVmlinux } from "./write-vmlinux.js";

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "virtio-pstore-vmlinux-"));
  onTestFinished(() => {
    rmSync(path, { recursive: true });
  });
  return path;
}

test("symbols are at the addresses that they are linked for, with their sizes", async () => {
  const path = join(folder(), "vmlinux");
  const { memory, symbols } = tinyKernel();
  const kernel = openKernel(memory);
  const written = await writeVmlinux(kernel, path);
  expect(written).toMatchObject({ release: "6.12.0-tiny", kernelOffset: 0n, modules: [] });
  expect(written.bytes).toBe(statSync(path).size);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const found = new ElfReader(path).symbols();
  const kfree = { name: "kfree", address: symbols.get("kfree"), size: 0xe00n, section: ".text" };
  expect(found).toContainEqual(kfree);
  // As the daemon's own reader has it.
  const file = readElfFile(path);
  expect(file.symbols.at((symbols.get("kfree") ?? 0n) + 8n)?.name).toBe("kfree");
  // All of them, and the per-CPU one, which isn't in the image.
  expect(found).toContainEqual({
    name: "this_cpu",
    address: 0x40n,
    size: expect.any(BigInt),
    section: undefined,
  });
  expect(found.map(({ name }) => name).sort()).toEqual([...symbols.keys(), "this_cpu"].sort());
  expect(written.symbols).toBe(found.length);
});

test("of a kernel that was moved, they are where they would be without KASLR", async () => {
  const path = join(folder(), "vmlinux");
  const { bytes, symbols, places } = tinyKernel();
  const moved = Buffer.from(bytes);
  const info = places.get("vmcoreinfo") ?? { at: 0, size: 0 };
  const text = moved.toString("latin1", info.at, info.at + info.size);
  moved.write(text.replace("KERNELOFFSET=0\n", "KERNELOFFSET=1000000\n"), info.at, "latin1");
  const written = await writeVmlinux(openKernel(memoryOf(moved)), path);
  expect(written.kernelOffset).toBe(0x1000000n);
  const found = new ElfReader(path).symbols();
  const address = (symbols.get("kfree") ?? 0n) - 0x1000000n;
  expect(found.find(({ name }) => name === "kfree")?.address).toBe(address);
  expect(found.find(({ name }) => name === "this_cpu")?.address).toBe(0x40n);
  const [row] = readFrames(new ElfReader(path).section(".debug_frame"));
  expect(row?.address).toBe((symbols.get("_text") ?? 0n) + 0x100n - 0x1000000n);
});

test("a section has what is in the guest's memory, and one that the kernel freed or changes has nothing", async () => {
  const path = join(folder(), "vmlinux");
  const { memory, bytes, places } = tinyKernel();
  await writeVmlinux(openKernel(memory), path);
  const file = readFileSync(path);
  const { at, size } = places.get("__start_BTF") ?? { at: 0, size: 0 };
  const btf = bytes.subarray(at, at + size);
  expect(file.indexOf(btf)).toBeGreaterThan(0);
  expect(bytes.indexOf("6.12.0-tiny")).toBeGreaterThan(0);
  expect(file.indexOf("6.12.0-tiny")).toBe(-1);
});

test("a file that is there stays as it is, and one that is stopped leaves nothing", async () => {
  const directory = folder();
  const path = join(directory, "vmlinux");
  await writeVmlinux(openKernel(tinyKernel().memory), path);
  const before = readFileSync(path);
  const again = () => writeVmlinux(openKernel(tinyKernel().memory), path);
  await expect(again()).rejects.toMatchObject({ code: "EEXIST" });
  expect(readFileSync(path).equals(before)).toBe(true);
  const stop = AbortSignal.abort(new Error("stopped"));
  const other = join(directory, "other");
  const stopped = writeVmlinux(openKernel(tinyKernel().memory), other, { stop });
  await expect(stopped).rejects.toThrow("stopped");
  expect(readdirSync(directory)).toEqual(["vmlinux"]);
});

test("a module's types that are too much are left out, with a note, and the rest is there", () => {
  const kernel = openKernel(tinyKernel().memory);
  const { vmlinux } = kernel.expectTypes();
  const small = new Btf(btfOf([1, info(Kind.FWD), 0], "a\0"), vmlinux);
  const huge = { typeBytes: 32 << 20, strings: Buffer.alloc(1) } as unknown as Btf;
  const modules = new Map([
    ["small", small],
    ["huge", huge],
  ]);
  vi.spyOn(kernel, "moduleTypes", "get").mockReturnValue(modules);
  const { sections, told } = vmlinuxOf(kernel);
  expect(told).toMatchObject({ modules: ["small"], unwindRows: 4 });
  expect(kernel.notes.take()).toEqual([
    expect.stringContaining("module huge's types: reading on would take more than"),
  ]);
  const btf = [...(sections.find(({ name }) => name === ".BTF")?.pieces() ?? [])];
  expect(btf.length).toBe(1);
  expect(kernel.notes.lines).toEqual([]);
});

test("more symbols than there is budget for are refused", () => {
  const kernel = openKernel(tinyKernel().memory);
  kernel.budget.spend(kernel.budget.left - 20);
  expect(() => vmlinuxOf(kernel)).toThrow(expect.objectContaining({ code: "TOO_MUCH" }));
});

test("an image of any size is refused before anything is written", async () => {
  const { bytes, places } = tinyKernel();
  const directory = folder();
  const { at } = places.get("offsets") ?? { at: 0 };
  expect(at).toBeGreaterThan(0);
  // _end, the symbol with the highest address, in another place.
  const kernel = openKernel(memoryOf(bytes));
  const all = kernel.symbols?.vmlinux;
  const index = [...(all?.indexes("_end") ?? [])][0] ?? 0;
  const lying = Buffer.from(bytes);
  lying.writeInt32LE(lying.readInt32LE(at + index * 4) - 0x60000000, at + index * 4);
  const written = writeVmlinux(openKernel(memoryOf(lying)), join(directory, "vmlinux"));
  await expect(written).rejects.toMatchObject({ code: "DAMAGED" });
  expect(readdirSync(directory)).toEqual([]);
});
