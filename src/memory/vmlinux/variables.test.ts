import { expect, test, vi } from "vitest";
import { btfOf, info } from "../../../test/support/made-btf.js";
import { tinyKernel } from "../../../test/support/tiny-kernel.js";
import { Btf, Kind, openKernel } from "../kernel/index.js";
import { variablesOf } from "./variables.js";

/** Of so many variables that all have the names in turn. */
function btfOfVariables(count: number, names: readonly string[]): Btf {
  const strings = `\0${names.map((name) => `${name}\0`).join("")}`;
  const places = names.map((name) => strings.indexOf(`\0${name}\0`) + 1);
  const word = (i: number) => places[i % places.length] ?? 0;
  const words = Array.from({ length: count }, (_, i) => [word(i), info(Kind.VAR), 0, 0]).flat();
  return new Btf(btfOf(words, strings));
}

const LONG = "x".repeat(600);

test("a per-CPU variable has its type and its place, and one without a symbol is left out", () => {
  const kernel = openKernel(tinyKernel().memory);
  const found = variablesOf(kernel, btfOfVariables(6, ["this_cpu", "absent", LONG]));
  expect(found).toEqual([
    { name: "this_cpu", address: 0x40n, type: 0, pointers: 0, length: undefined },
  ]);
  expect(kernel.notes.lines).toEqual([]);
});

test("variables of names that no symbol has are looked for as far as there is budget", () => {
  const kernel = openKernel(tinyKernel().memory);
  const look = vi.spyOn(kernel.symbols?.vmlinux ?? expect.fail(), "address");
  const found = variablesOf(kernel, btfOfVariables(100_000, ["this_cpu", "absent"]));
  expect(found.map(({ name }) => name)).toEqual(["this_cpu"]);
  expect(look.mock.calls.length).toBeLessThan(25_000);
  expect(kernel.notes.lines).toEqual([
    expect.stringContaining("variables: reading on would take more than a second"),
  ]);
});
