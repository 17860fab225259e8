import { describe, expect, test } from "vitest";
import { memoryOf, type TinyOptions, tinyKernel } from "../../../test/support/tiny-kernel.js";
import { KernelLog, logText } from "../log.js";
import { findInfos } from "./find-info.js";
import { openKernel } from "./open-kernel.js";

const open = (options: TinyOptions = {}) => {
  const tiny = tinyKernel(options);
  return { tiny, kernel: openKernel(tiny.memory) };
};

describe.each([
  { levels: 4, ownPlace: false },
  { levels: 5, ownPlace: true },
] as const)(
  "a kernel with $levels levels, addresses from their own place: $ownPlace",
  (options) => {
    const { tiny, kernel } = open(options);

    test("symbols are found by name and by address", () => {
      expect(kernel.notes.lines).toEqual([]);
      for (const [name, address] of tiny.symbols)
        expect(kernel.symbols?.address(name)).toBe(address);
      expect(kernel.symbols?.address("nothing")).toBeUndefined();
      expect(kernel.symbols?.at((tiny.symbols.get("schedule") ?? 0n) + 5n)).toEqual({
        name: "schedule",
        offset: 5,
        size: 0x100,
      });
      expect(kernel.symbols?.at(0n)).toBeUndefined();
      expect(kernel.symbols?.at(2n ** 64n - 1n)).toBeUndefined();
      if (!options.ownPlace) expect(kernel.symbols?.address("this_cpu")).toBe(0x40n);
    });

    test("structures are decoded by BTF", () => {
      const task = kernel.structAt("task_struct", "init_task");
      expect(task.number("pid")).toBe(-1);
      expect(task.text("comm")).toBe("swapper");
      expect(task.number("comm[1]")).toBe("w".charCodeAt(0));
      expect(task.number("one")).toBe(-1);
      expect(task.number("three")).toBe(-2);
      expect(task.follow("parent")?.text("comm")).toBe("swapper");
      expect(task.u64("number")).toBe(task.address);
      expect(task.struct("tasks").at("prev")).toBe(task.address + 32n);
      expect(task.has("tasks.next.next")).toBe(false);
      expect(task.has("comm[16]")).toBe(false);
      expect(() => task.number("absent")).toThrow("task_struct has no member absent");
      expect(kernel.types?.size("task_t")).toBe(56);
      expect(kernel.types?.constant("STUCK")).toBe(7n);
      expect(kernel.presentCpus).toEqual([0, 1]);
      expect(kernel.perCpu(0x40n, 1)).toBe(0x2040n);
    });

    test("a list ends at its head, and a circle beside it with a note", () => {
      const { tiny, kernel } = open(options);
      const head = kernel.structAt("task_struct", "init_task").at("tasks");
      const names = () =>
        [...kernel.list(head, "task_struct", "tasks")].map((one) => one.text("comm"));
      expect(names()).toEqual(["init", "kthreadd"]);
      const at = tiny.places.get("init_task")?.at ?? 0;
      // The third leads to the second.
      tiny.bytes.writeBigUInt64LE(head + 56n, at + 2 * 56 + 24);
      expect(names()).toEqual(["init", "kthreadd"]);
      expect(kernel.notes.take()).toEqual([expect.stringContaining("circle")]);
      tiny.bytes.writeBigUInt64LE(0x1234n, at + 2 * 56 + 24);
      expect(names()).toEqual(["init", "kthreadd"]);
      expect(kernel.notes.take()).toEqual([expect.stringContaining("nothing is mapped at 0x1234")]);
    });

    test("the unwind tables tell the frame", () => {
      const schedule = tiny.symbols.get("schedule") ?? 0n;
      const call = { bpOffset: 0, bpRegister: "undefined", signal: false, type: "call" };
      expect(kernel.orc?.at(schedule)).toEqual({ ...call, spRegister: "sp", spOffset: 8 });
      expect(kernel.orc?.at(schedule + 7n)).toMatchObject({
        ...{ spOffset: 16, bpRegister: "previous-sp", bpOffset: -16 },
      });
      expect(kernel.orc?.at(schedule - 1n)).toBeUndefined();
      expect(kernel.orc?.at(0n)).toBeUndefined();
    });
  },
);

describe("the log", () => {
  const textOf = (messages?: readonly string[]) => {
    const { kernel } = open(messages === undefined ? {} : { messages });
    const text = [...logText(new KernelLog(kernel).entries())].join("");
    expect(kernel.notes.lines).toEqual([]);
    return text;
  };

  test("is as dmesg -r prints it", () => {
    expect(textOf()).toBe(
      "<6>[    0.000000] Linux version tiny\n<6>[    1.500000] second\n<6>[    1.500000] of two lines\n<6>[    3.000000] \n",
    );
    expect(textOf([])).toBe("");
  });

  test("of a ring that went round, what wasn't overwritten", () => {
    const messages = Array.from({ length: 21 }, (_, i) => `message ${i}`);
    expect(textOf(messages).match(/message \d+/g)).toEqual(messages.slice(-8));
  });

  test("what is torn is left out, and its place is marked", () => {
    const { tiny, kernel } = open();
    tiny.bytes.writeBigUInt64LE(0n, (tiny.places.get("text")?.at ?? 0) + 32);
    const text = [...logText(new KernelLog(kernel).entries())].map(String);
    expect(text[1]).toBe("[virtio-pstore: 1 messages lost]\n");
  });

  test("a ring whose sizes can't be is refused", () => {
    const { tiny, kernel } = open();
    tiny.bytes.writeUInt32LE(60, tiny.places.get("ring")?.at ?? 0);
    expect(() => new KernelLog(kernel)).toThrow("a ring of 2^60 records");
  });
});

test("types are read when they are asked for", () => {
  const { memory, places } = tinyKernel();
  const { at = 0, size = 0 } = places.get("__start_BTF") ?? {};
  let reads = 0;
  const read = (address: number, into: Buffer) => {
    // The search for VMCOREINFO reads all, page by page or in larger pieces.
    if (into.length < size + 1 && address < at + size && address + into.length > at) reads++;
    return memory.read(address, into);
  };
  const kernel = openKernel({ ...memory, read });
  expect(reads).toBe(0);
  expect(kernel.types?.size("task_t")).toBe(56);
  expect(reads).toBeGreaterThan(0);
});

test("what one view's budget is too little for is read with the next one's", () => {
  const { tiny, kernel } = open();
  const schedule = tiny.symbols.get("schedule") ?? 0n;
  kernel.budget.renew(1);
  expect(kernel.orc).toBeUndefined();
  expect(kernel.orc).toBeUndefined();
  expect(kernel.notes.take()).toContainEqual(
    expect.stringMatching(/^stacks: reading on would take more than a second.*all$/),
  );
  kernel.budget.renew();
  expect(kernel.orc?.at(schedule)).toMatchObject({ spOffset: 8 });
  expect(kernel.notes.take()).toEqual([]);
});

describe("what describes itself", () => {
  test("counts only with page tables that lead to the release that it says", () => {
    const { bytes, places } = tinyKernel();
    expect(findInfos(memoryOf(bytes))).toHaveLength(1);
    bytes.write("6.12.1", (places.get("init_uts_ns")?.at ?? 0) + 2 * 65);
    expect(() => openKernel(memoryOf(bytes))).toThrow("no Linux in it that describes itself");
  });

  test("of two boots whose clocks tell nothing, the first is taken, and that is said", () => {
    const { bytes, places } = tinyKernel();
    // The same image once more, behind it, with page tables and VMCOREINFO of its own.
    const size = bytes.length;
    const two = Buffer.concat([bytes, bytes]);
    for (let entry = 0; entry < (places.get("page tables")?.size ?? 0); entry += 8) {
      const at = size + 4096 + entry;
      const value = two.readBigUInt64LE(at);
      if (value !== 0n) two.writeBigUInt64LE(value + BigInt(size), at);
    }
    const info = size + (places.get("vmcoreinfo")?.at ?? 0);
    const text = two.toString("latin1", info, info + 4096);
    two.write(
      text.replace("(phys_base)=-16777216", `(phys_base)=${size - 0x1000000}`),
      info,
      "latin1",
    );
    two.write("other", size + (places.get("init_task")?.at ?? 0) + 4);
    expect(findInfos(memoryOf(two))).toHaveLength(2);
    const kernel = openKernel(memoryOf(two));
    expect(kernel.structAt("task_struct", "init_task").text("comm")).toBe("swapper");
    expect(kernel.notes.take().join("\n")).toContain(
      "the memory holds 2 boots' kernels: this is the first that was found (Linux 6.12.0-tiny)",
    );
  });
});
