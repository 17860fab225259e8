import fc from "fast-check";
import { expect, test } from "vitest";
import { btfOf, info } from "../../../test/support/made-btf.js";
import { type Entry, readDwarf } from "../../../test/support/read-dwarf.js";
import { tinyKernel } from "../../../test/support/tiny-kernel.js";
import { MemoryError } from "../errors.js";
import { Btf } from "../kernel/index.js";
import { dwarfOf, type Variable } from "./dwarf.js";
import { AT, TAG } from "./dwarf-numbers.js";

const { bytes, places } = tinyKernel();
const place = places.get("__start_BTF") ?? { at: 0, size: 0 };
const TINY = bytes.subarray(place.at, place.at + place.size);

const NONE: ReadonlyMap<string, Btf> = new Map();

const entriesOf = (
  btf: Btf,
  variables: readonly Variable[] = [],
  modules = NONE,
): readonly Entry[] => readDwarf(dwarfOf(btf, variables, modules)).flatMap((unit) => unit.children);

const nameOf = (entry: Entry | undefined) => entry?.values.get(AT.name);

/** A type as C has it, as far as DWARF tells it. */
function declared(entries: readonly Entry[], entry: Entry | undefined): string {
  if (entry === undefined) return "void";
  const to = () => {
    const at = entry.values.get(AT.type);
    return declared(entries, at === undefined ? undefined : entries.find((one) => one.at === at));
  };
  switch (entry.tag) {
    case TAG.pointer:
      return `${to()} *`;
    case TAG.array:
      return `${to()}[${String(entry.children[0]?.values.get(AT.count) ?? "")}]`;
    default:
      return String(nameOf(entry) ?? "unnamed");
  }
}

test("structures, bit fields, arrays, pointers and enums are as BTF has them", () => {
  const entries = entriesOf(new Btf(TINY));
  const find = (tag: number, name: string) =>
    entries.find((one) => one.tag === tag && nameOf(one) === name);
  const task = find(TAG.structure, "task_struct");
  const members = task?.children.map((one) => {
    const type = entries.find(({ at }) => at === one.values.get(AT.type));
    const at = one.values.get(AT.memberLocation) ?? one.values.get(AT.dataBitOffset);
    return [nameOf(one) ?? "", declared(entries, type), Number(at), one.values.get(AT.bitSize)];
  });
  expect(members).toEqual([
    ["pid", "int", 0, undefined],
    ["comm", "char[16]", 4, undefined],
    ["tasks", "list_head", 24, undefined],
    ["", "unnamed", 40, undefined],
    ["one", "int", 384, 1],
    ["three", "int", 385, 3],
  ]);
  const list = find(TAG.structure, "list_head");
  expect(list?.values.get(AT.byteSize)).toBe(16n);
  expect(find(TAG.base, "unsigned long")?.values.get(AT.byteSize)).toBe(8n);
});

test("values of enums may be negative, or have 64 bits", () => {
  const strings = "\0low\0high\0";
  const words = [
    ...[0, 0x80000000 + info(6, 1), 4, 1, -3],
    ...[0, info(19, 1), 8, 5, 0xffffffff, 0xffffffff],
    // One that is only declared.
    ...[1, info(6), 4],
  ];
  const [signed, wide, only] = entriesOf(new Btf(btfOf(words, strings)));
  expect(signed?.children[0]?.values.get(AT.constValue)).toBe(-3n);
  expect(nameOf(wide?.children[0])).toBe("high");
  expect(wide?.children[0]?.values.get(AT.constValue)).toBe(0xffffffffffffffffn);
  expect(only?.values.get(AT.declaration)).toBe(true);
});

test("functions have their parameters, and void is left out", () => {
  // 1: int; 2: void *; 3: int (*)(void *, ...); 4: a function of it; 5: a pointer to that.
  const words = [
    ...[1, info(1), 4, 0x01000020],
    ...[0, info(2), 0],
    ...[0, info(13, 2), 1, 0, 2, 0, 0],
    ...[1, info(12), 3],
    ...[0, info(2), 4],
  ];
  const entries = entriesOf(new Btf(btfOf(words, "\0int\0")));
  expect(entries.map(({ tag }) => tag)).toEqual([TAG.base, TAG.pointer, TAG.function, TAG.pointer]);
  expect(entries[2]?.children.map(({ tag }) => tag)).toEqual([TAG.parameter, TAG.more]);
  expect(entries[1]?.values.has(AT.type)).toBe(false);
  expect(entries[3]?.values.has(AT.type)).toBe(false);
});

test("a module's types are a unit of their own, and refer to vmlinux's", () => {
  const vmlinux = new Btf(TINY);
  const one = { at: vmlinux.endString, id: vmlinux.endId };
  const words = [
    one.at,
    info(4, 1),
    16,
    one.at + 4,
    vmlinux.named("list_head").next().value ?? 0,
    0,
  ];
  const module = new Btf(btfOf(words, "abc\0list\0"), vmlinux);
  const units = readDwarf(
    dwarfOf(
      vmlinux,
      [],
      new Map([
        ["first", module],
        ["second", module],
      ]),
    ),
  );
  expect(units.map(nameOf)).toEqual(["vmlinux", "first", "second"]);
  for (const unit of units.slice(1)) {
    const [structure] = unit.children;
    expect(nameOf(structure)).toBe("abc");
    const [member] = structure?.children ?? [];
    expect(nameOf(member)).toBe("list");
    const to = units[0]?.children.find(({ at }) => at === member?.values.get(AT.type));
    expect(nameOf(to)).toBe("list_head");
  }
});

test("variables have their types, with pointers and arrays around them", () => {
  const btf = new Btf(TINY);
  const type = [...btf.named("task_struct")][0] ?? 0;
  const variables: Variable[] = [
    { name: "plain", address: 0xffffffff81000000n, type, pointers: 0, length: undefined },
    { name: "twice", address: 8n, type, pointers: 2, length: undefined },
    { name: "some", address: 16n, type, pointers: 1, length: 3 },
    { name: "open", address: 24n, type, pointers: 0, length: 0 },
  ];
  const entries = entriesOf(btf, variables);
  const found = entries.filter(({ tag }) => tag === TAG.variable);
  const told = found.map((one) => {
    const to = entries.find(({ at }) => at === one.values.get(AT.type));
    return [nameOf(one), declared(entries, to)];
  });
  expect(told).toEqual([
    ["plain", "task_struct"],
    ["twice", "task_struct * *"],
    ["some", "task_struct *[3]"],
    ["open", "task_struct[]"],
  ]);
  expect(found[0]?.values.get(AT.location)).toEqual(
    Buffer.from([3, 0, 0, 0, 0x81, 0xff, 0xff, 0xff, 0xff]),
  );
});

test.each([
  ["a typedef of itself", [1, info(8), 1]],
  ["two of each other", [1, info(8), 2, 1, info(10), 1]],
  ["an array of itself", [0, info(3), 0, 1, 1, 4]],
  ["a structure in itself", [1, info(4, 1), 8, 1, 1, 0]],
  ["one in another in it", [1, info(4, 1), 8, 1, 2, 0, 1, info(5, 1), 8, 1, 1, 0]],
])("%s ends", (_, words) => {
  expectEnds(entriesOf(new Btf(btfOf(words, "\0a\0"))));
});

test("a list's pointer to its own structure stays", () => {
  // 1: struct a { 2 *a }; 2: a pointer to it
  const entries = entriesOf(new Btf(btfOf([1, info(4, 1), 8, 1, 2, 0, 0, info(2), 1], "\0a\0")));
  expect(entries[0]?.children[0]?.values.get(AT.type)).toBe(entries[1]?.at);
  expect(entries[1]?.values.get(AT.type)).toBe(entries[0]?.at);
});

/** No type holds itself, and what is referred to is there. */
function expectEnds(entries: readonly Entry[]): void {
  const byPlace = new Map(entries.map((entry) => [entry.at, entry]));
  const done = new Set<Entry>();
  const visit = (entry: Entry, open: ReadonlySet<Entry>): void => {
    if (done.has(entry)) return;
    expect(open.has(entry), `${String(nameOf(entry))} holds itself`).toBe(false);
    const inside = new Set([...open, entry]);
    for (const one of [entry, ...entry.children]) {
      const at = one.values.get(AT.type);
      if (at === undefined) continue;
      const to = byPlace.get(Number(at));
      expect(to, `${at}`).toBeDefined();
      if (to !== undefined && entry.tag !== TAG.pointer && entry.tag !== TAG.function) {
        visit(to, inside);
      }
    }
    done.add(entry);
  };
  for (const entry of entries) visit(entry, new Set());
}

test("damaged BTF gives DWARF that can be read, ends, and is no larger than a few times its size", () => {
  const change = fc.record({ at: fc.nat(TINY.length - 1), value: fc.nat(255) });
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 12 }), (changes) => {
      const damaged = Buffer.from(TINY);
      for (const { at, value } of changes) damaged[at] = value;
      let btf: Btf;
      try {
        btf = new Btf(damaged);
      } catch (error) {
        if (error instanceof MemoryError) return;
        throw error;
      }
      const dwarf = dwarfOf(btf, [], NONE);
      expect(dwarf.info.length + dwarf.strings.length).toBeLessThan(200 + 3 * damaged.length);
      expectEnds(readDwarf(dwarf).flatMap((unit) => unit.children));
    }),
    { numRuns: 2000 },
  );
});
