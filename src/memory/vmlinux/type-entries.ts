import { type Btf, Kind } from "../kernel/btf.js";
import { typesInCircles } from "./circles.js";
import type { Attribute, DwarfEntries } from "./dwarf-entries.js";
import { ENCODING, TAG } from "./dwarf-numbers.js";

/** Tags in front of a type: no kernel has so many. */
const MAX_TAGS = 64;

const POINTER_BYTES = 8;

/** The types of a kernel or a module, as entries of DWARF. */
export class TypeEntries {
  readonly #btf: Btf;
  readonly #entries: DwarfEntries;
  readonly #stringsAt: number;
  readonly #base: TypeEntries | undefined;
  /** Where each type's entry is, counted from the first. */
  readonly #places: Uint32Array;
  readonly #leadsBack: Uint8Array;

  /** `stringsAt` is where its own strings are in .debug_str; `base` are the types that its own follow. */
  constructor(btf: Btf, entries: DwarfEntries, stringsAt: number, base?: TypeEntries) {
    this.#btf = btf;
    this.#entries = entries;
    this.#stringsAt = stringsAt;
    this.#base = base;
    this.#places = new Uint32Array(btf.endId - btf.firstId);
    this.#leadsBack = typesInCircles(btf);
  }

  addAll(): void {
    const { firstId, endId } = this.#btf;
    for (let id = firstId; id < endId; id++) {
      this.#places[id - firstId] = this.#entries.at;
      this.#add(id);
    }
  }

  /** Where a type's entry is. */
  place(id: number): number {
    const own = id - this.#btf.firstId;
    return (own < 0 ? this.#base?.place(id) : this.#places[own]) ?? 0;
  }

  /** DWARF says void by saying nothing. */
  reference(id: number): Attribute[] {
    const type = this.#target(id);
    return type === 0 ? [] : [["type", "reference", type]];
  }

  /** What a reference leads to: DWARF 4 has no type tags. 0 is void, as is what has no entry. */
  #target(id: number): number {
    let type = id;
    for (let tags = 0; tags < MAX_TAGS; tags++) {
      switch (this.#btf.kind(type)) {
        case Kind.TYPE_TAG:
          if (this.#isCircle(type)) return 0;
          type = this.#btf.sizeOrType(type);
          break;
        case 0:
        case Kind.FUNC:
        case Kind.VAR:
        case Kind.DATASEC:
        case Kind.DECL_TAG:
          return 0;
        default:
          return type;
      }
    }
    return 0;
  }

  /** Of what a type holds. */
  #held(holder: number, id: number): Attribute[] {
    return this.#isCircle(holder) ? [] : this.reference(id);
  }

  #isCircle(id: number): boolean {
    const { firstId } = this.#btf;
    if (id >= firstId) return this.#leadsBack[id - firstId] === 1;
    const base = this.#base;
    return base !== undefined ? base.#isCircle(id) : false;
  }

  /** .debug_str has the strings of BTF as they are. */
  #name(offset: number): Attribute[] {
    const { firstString, endString } = this.#btf;
    if (offset >= endString) return [];
    if (offset >= firstString) return this.#nameAt(offset - firstString);
    return this.#base === undefined ? [] : this.#base.#name(offset);
  }

  #nameAt(offset: number): Attribute[] {
    return offset === 0 && this.#base === undefined
      ? []
      : [["name", "strp", this.#stringsAt + offset]];
  }

  #add(id: number): void {
    const btf = this.#btf;
    const name = this.#name(btf.nameAt(id));
    const to = btf.sizeOrType(id);
    switch (btf.kind(id)) {
      case Kind.INT:
      case Kind.FLOAT:
        this.#entries.add(TAG.base, false, [
          ...name,
          ["encoding", "data1", encodingOf(btf, id)],
          ["byteSize", "udata", to],
        ]);
        break;
      case Kind.PTR:
        this.pointer(this.reference(to));
        break;
      case Kind.ARRAY:
        this.array(this.#held(id, btf.array(id).type), btf.array(id).length);
        break;
      case Kind.STRUCT:
        this.#structure(TAG.structure, id, name);
        break;
      case Kind.UNION:
        this.#structure(TAG.union, id, name);
        break;
      case Kind.ENUM:
      case Kind.ENUM64:
        this.#enumeration(id, name);
        break;
      case Kind.FWD: {
        const tag = btf.flag(id) ? TAG.union : TAG.structure;
        this.#entries.add(tag, false, [...name, ["declaration", "flagPresent"]]);
        break;
      }
      case Kind.TYPEDEF:
        this.#entries.add(TAG.typedef, false, [...name, ...this.#held(id, to)]);
        break;
      case Kind.VOLATILE:
        this.#entries.add(TAG.volatile, false, this.#held(id, to));
        break;
      case Kind.CONST:
        this.#entries.add(TAG.const, false, this.#held(id, to));
        break;
      case Kind.RESTRICT:
        this.#entries.add(TAG.restrict, false, this.#held(id, to));
        break;
      case Kind.FUNC_PROTO:
        this.#function(id);
        break;
    }
  }

  pointer(to: readonly Attribute[]): void {
    this.#entries.add(TAG.pointer, false, [["byteSize", "data1", POINTER_BYTES], ...to]);
  }

  /** BTF has length 0 for an array without an end. */
  array(element: readonly Attribute[], length: number): void {
    this.#entries.add(TAG.array, true, element);
    this.#entries.add(TAG.range, false, length === 0 ? [] : [["count", "udata", length]]);
    this.#entries.endChildren();
  }

  #structure(tag: number, id: number, ownName: readonly Attribute[]): void {
    this.#entries.add(tag, true, [...ownName, ["byteSize", "udata", this.#btf.sizeOrType(id)]]);
    for (const { nameAt, type, bit, bits } of this.#btf.members(id)) {
      const place: Attribute[] =
        bits === 0
          ? [["memberLocation", "udata", Math.floor(bit / 8)]]
          : [
              ["bitSize", "data1", bits],
              ["dataBitOffset", "udata", bit],
            ];
      this.#entries.add(TAG.member, false, [
        ...this.#name(nameAt),
        ...this.#held(id, type),
        ...place,
      ]);
    }
    this.#entries.endChildren();
  }

  /** BTF has an enum that is only declared as one without values. */
  #enumeration(id: number, name: readonly Attribute[]): void {
    const values = this.#btf.enumerators(id);
    if (values.length === 0) {
      this.#entries.add(TAG.enumeration, false, [...name, ["declaration", "flagPresent"]]);
      return;
    }
    this.#entries.add(TAG.enumeration, true, [
      ...name,
      ["byteSize", "udata", this.#btf.sizeOrType(id)],
    ]);
    for (const { nameAt, value } of values) {
      this.#entries.add(TAG.enumerator, false, [
        ...this.#name(nameAt),
        ["constValue", value < 0n ? "sdata" : "udata64", value],
      ]);
    }
    this.#entries.endChildren();
  }

  /** A parameter without a type stands for `...`. */
  #function(id: number): void {
    this.#entries.add(TAG.function, true, [
      ["prototyped", "flagPresent"],
      ...this.reference(this.#btf.sizeOrType(id)),
    ]);
    for (const type of this.#btf.parameters(id)) {
      const reference = this.reference(type);
      this.#entries.add(reference.length === 0 ? TAG.more : TAG.parameter, false, reference);
    }
    this.#entries.endChildren();
  }
}

function encodingOf(btf: Btf, id: number): number {
  if (btf.kind(id) === Kind.FLOAT) return ENCODING.float;
  const { isSigned, isBool } = btf.int(id);
  if (isBool) return ENCODING.bool;
  // BTF says of a char only its size.
  const name = btf.name(id);
  if (/\bchar$/.test(name)) {
    return name.startsWith("unsigned") ? ENCODING.unsignedChar : ENCODING.signedChar;
  }
  return isSigned ? ENCODING.signed : ENCODING.unsigned;
}
