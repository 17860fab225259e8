import type { Btf } from "../kernel/btf.js";
import { ByteWriter } from "./byte-writer.js";
import { type Attribute, DwarfEntries } from "./dwarf-entries.js";
import { LANGUAGE_C99, OP, TAG } from "./dwarf-numbers.js";
import { TypeEntries } from "./type-entries.js";

/** A variable that BTF doesn't tell of, or that has a place. */
export interface Variable {
  readonly name: string;
  readonly address: bigint;
  /** A type's id in BTF. */
  readonly type: number;
  /** So many `*` stand before it. */
  readonly pointers: number;
  /** Of an array of that; 0 where its end isn't known. */
  readonly length: number | undefined;
}

/** Sections of DWARF 4. */
export interface Dwarf {
  /** .debug_info */
  readonly info: Buffer;
  /** .debug_abbrev */
  readonly abbreviations: Buffer;
  /** .debug_str */
  readonly strings: Buffer;
}

/** The types of vmlinux, its variables, and each module's own types: a unit each. What BTF says of no type is void. */
export function dwarfOf(
  vmlinux: Btf,
  variables: readonly Variable[],
  modules: ReadonlyMap<string, Btf>,
): Dwarf {
  const entries = new DwarfEntries();
  const strings = new ByteWriter();
  // Offsets in vmlinux's BTF are offsets in .debug_str: names that are there are not copied.
  strings.bytes(vmlinux.strings);
  const unit = (name: string): void => {
    entries.beginUnit();
    entries.add(TAG.unit, true, [
      ["producer", "strp", producer],
      ["language", "data1", LANGUAGE_C99],
      ["name", "strp", textAt(strings, name)],
    ]);
  };
  const producer = textAt(strings, "virtio-pstore");
  unit("vmlinux");
  const types = new TypeEntries(vmlinux, entries, 0);
  types.addAll();
  for (const variable of variables) addVariable(entries, types, strings, variable);
  entries.endUnit((id) => types.place(id));
  for (const [name, btf] of modules) {
    const stringsAt = strings.length;
    strings.bytes(btf.strings);
    unit(name);
    const own = new TypeEntries(btf, entries, stringsAt, types);
    own.addAll();
    entries.endUnit((id) => own.place(id));
  }
  return { ...entries.take(), strings: strings.take() };
}

function textAt(strings: ByteWriter, text: string): number {
  const at = strings.length;
  strings.text(text);
  return at;
}

function addVariable(
  entries: DwarfEntries,
  types: TypeEntries,
  strings: ByteWriter,
  { name, address, type, pointers, length }: Variable,
): void {
  const location = Buffer.alloc(9);
  location.writeUInt8(OP.addr, 0);
  location.writeBigUInt64LE(address, 1);
  let reference: readonly Attribute[] = types.reference(type);
  for (let i = 0; i < pointers; i++) {
    const at = entries.at;
    types.pointer(reference);
    reference = [["type", "place", at]];
  }
  if (length !== undefined) {
    const at = entries.at;
    types.array(reference, length);
    reference = [["type", "place", at]];
  }
  entries.add(TAG.variable, false, [
    ["name", "strp", textAt(strings, name)],
    ...reference,
    ["external", "flagPresent"],
    ["location", "exprloc", location],
  ]);
}
