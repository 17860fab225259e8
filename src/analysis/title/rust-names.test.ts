import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { rustName } from "./rust-names.js";

describe("rustName", () => {
  it.each([
    ["a crate's function", "_RNvCs1234_3foo3bar", "foo::bar"],
    ["a module's", "_RNvNtCs1234_3foo4pipe4open", "foo::pipe::open"],
    ["a method", "_RNvMs_NtCs1234_3foo4pipeNtB4_4Pipe5close", "<foo::pipe::Pipe>::close"],
    [
      "a trait's method",
      "_RNvXCs1234_3fooNtB2_3DevNtCs5678_6kernel6Driver5probe",
      "<foo::Dev as kernel::Driver>::probe",
    ],
    ["a closure", "_RNCNvCs1234_3foo3bar0B3_", "foo::bar::{closure}"],
    [
      "generic arguments",
      "_RINvCs1234_3foo4pushhRQNtB2_3DevAtj10_E",
      "foo::push::<u8, &&mut foo::Dev, [u16; 0x10]>",
    ],
    [
      "pointers, slices, tuples",
      "_RINvCs1234_3foo1fPOaSbTmyEE",
      "foo::f::<*const *mut i8, [bool], (u32, u64)>",
    ],
    ["a name that begins with a digit or _", "_RNvCs1234_3foo4__abc", "foo::_abc"],
  ])("%s", (_, symbol, name) => {
    expect(rustName(symbol)).toBe(name);
  });

  it.each(["foo_write", "_RAX", "_R", "_RNvCs1234_3foo99x", "_RNvB_3foo", "_RNvC3foo3ba"])(
    "%s is what it is",
    (name) => {
      expect(rustName(name)).toBe(name);
    },
  );

  it("a crate's hash, which each build changes, isn't in it", () => {
    expect(rustName("_RNvCs1111_3foo3bar")).toBe(rustName("_RNvCs2222_3foo3bar"));
  });

  it("whatever a guest prints, it ends, and the name isn't longer than 512 characters", () => {
    const part = fc.constantFrom(
      ..."C N M X Y I B E T R K p h s v t _ 0 1 3 a Z 3foo B_ B0_ Nv Nt".split(" "),
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 200 }), (parts) => {
        const symbol = `_R${parts.join("")}`;
        expect(rustName(symbol).length).toBeLessThanOrEqual(Math.max(symbol.length, 512));
      }),
    );
    const doubling = `_RI${"T".repeat(40)}${"B_".repeat(80)}`;
    expect(rustName(doubling)).toBe(doubling);
  });
});
