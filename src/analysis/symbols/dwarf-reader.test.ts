import { expect, onTestFinished, test } from "vitest";
import { DwarfReader, parseAnswers } from "./dwarf-reader.js";

/** A program that a shell's script stands for. */
function reader(script: string): DwarfReader {
  const one = new DwarfReader({ path: "/bin/sh", arguments: ["-c", script] });
  onTestFinished(() => {
    one.close();
  });
  return one;
}

const answer = "echo $a; echo f; echo a.c:7;";

test("addr2line's answers: the outermost function first", () => {
  const text = [
    ...["0x0000000000000010", "inner", "include/a.h:3 (discriminator 2)", "outer", "./b.c:7"],
    ...["0x20", "??", "??:0", "0x30", "asm_entry", "entry.S:?", "0x40", "f", "c.c:0", ""],
  ].join("\n");
  expect([...parseAnswers(text)]).toEqual([
    [
      0x10n,
      [
        { name: "outer", source: "b.c:7" },
        { name: "inner", source: "include/a.h:3" },
      ],
    ],
    [0x20n, []],
    [0x30n, []],
    [0x40n, []],
  ]);
});

test("a running program is asked again and again, for many at once, and for the same once only", async () => {
  const one = reader(`while read a; do ${answer} n=$((n+1)); test $n = 302 && exit; done`);
  const first = await one.linesAt(new Set(Array.from({ length: 300 }, (_, n) => BigInt(n))));
  expect(first.size).toBe(300);
  expect(first.get(299n)).toEqual([{ name: "f", source: "a.c:7" }]);
  expect((await one.linesAt(new Set([5n, 299n]))).get(5n)).toEqual([
    { name: "f", source: "a.c:7" },
  ]);
  await expect(one.linesAt(new Set([300n]))).rejects.toThrow("sh failed: ended");
});

test("one that fails says why; one without an end is ended; escape sequences don't come through", async () => {
  const failing = reader("echo 'addr2line: x: file format not recognized' >&2; exit 1");
  await expect(failing.linesAt(new Set([1n]))).rejects.toThrow("file format not recognized");
  await expect(reader("yes endless").linesAt(new Set([1n]))).rejects.toThrow("without an end");
  const lines = await reader(
    `while read a; do echo $a; printf 'f\\033[2J\\n'; echo a.c:1; done`,
  ).linesAt(new Set([1n]));
  expect(lines.get(1n)).toEqual([{ name: "f\\x1b[2J", source: "a.c:1" }]);
});
