import { ByteWriter } from "./byte-writer.js";
import { AT, FORM } from "./dwarf-numbers.js";

/**
 * An attribute, and its value in a form: `strp` is an offset in .debug_str, `reference` the id of a type that
 * has an entry at the unit's end, `place` where an entry is.
 */
export type Attribute =
  | readonly [attribute: keyof typeof AT, form: "strp" | "data1" | "udata", value: number]
  | readonly [attribute: keyof typeof AT, form: "sdata" | "udata64", value: bigint]
  | readonly [attribute: keyof typeof AT, form: "reference", id: number]
  | readonly [attribute: keyof typeof AT, form: "place", at: number]
  | readonly [attribute: keyof typeof AT, form: "exprloc", value: Buffer]
  | readonly [attribute: keyof typeof AT, form: "flagPresent"];

const VERSION = 4;
const ADDRESS_BYTES = 8;

/** .debug_info and .debug_abbrev, entry after entry (DWARF 4, 7.5). */
export class DwarfEntries {
  readonly #info = new ByteWriter();
  readonly #abbreviations = new Map<string, number>();
  readonly #abbreviationBytes = new ByteWriter();
  /** Where the unit has references; the ids are there until its end. */
  #references: number[] = [];
  #unitAt = 0;

  /** Where the next entry will be. */
  get at(): number {
    return this.#info.length;
  }

  beginUnit(): void {
    this.#unitAt = this.#info.length;
    // The length is known at its end.
    this.#info.u32(0);
    this.#info.u16(VERSION);
    this.#info.u32(0);
    this.#info.u8(ADDRESS_BYTES);
  }

  /** `placeOf` says where an id that is referred to has its entry. */
  endUnit(placeOf: (id: number) => number): void {
    this.endChildren();
    this.#info.putU32(this.#info.length - this.#unitAt - 4, this.#unitAt);
    for (const at of this.#references) this.#info.putU32(placeOf(this.#info.u32At(at)), at);
    this.#references = [];
  }

  /** One that has children is followed by them, and `endChildren`. */
  add(tag: number, hasChildren: boolean, attributes: readonly Attribute[]): void {
    this.#info.unsigned(this.#abbreviation(tag, hasChildren, attributes));
    for (const attribute of attributes) this.#value(attribute);
  }

  endChildren(): void {
    this.#info.u8(0);
  }

  take(): { readonly info: Buffer; readonly abbreviations: Buffer } {
    this.#abbreviationBytes.u8(0);
    return { info: this.#info.take(), abbreviations: this.#abbreviationBytes.take() };
  }

  /** Entries with the same attributes in the same forms share one. drgn wants them numbered without gaps. */
  #abbreviation(tag: number, hasChildren: boolean, attributes: readonly Attribute[]): number {
    let key = `${tag} ${hasChildren}`;
    for (const [name, form] of attributes) key += ` ${name} ${form}`;
    const known = this.#abbreviations.get(key);
    if (known !== undefined) return known;
    const code = this.#abbreviations.size + 1;
    this.#abbreviations.set(key, code);
    const bytes = this.#abbreviationBytes;
    bytes.unsigned(code);
    bytes.unsigned(tag);
    bytes.u8(hasChildren ? 1 : 0);
    for (const [name, form] of attributes) {
      bytes.unsigned(AT[name]);
      bytes.unsigned(FORM[form]);
    }
    bytes.u16(0);
    return code;
  }

  #value(attribute: Attribute): void {
    const info = this.#info;
    switch (attribute[1]) {
      case "strp":
        info.u32(attribute[2]);
        break;
      case "data1":
        info.u8(attribute[2]);
        break;
      case "udata":
        info.unsigned(attribute[2]);
        break;
      case "udata64":
        info.unsigned64(attribute[2]);
        break;
      case "sdata":
        info.signed(attribute[2]);
        break;
      case "reference":
        this.#references.push(info.length);
        info.u32(attribute[2]);
        break;
      case "place":
        info.u32(attribute[2]);
        break;
      case "exprloc":
        info.unsigned(attribute[2].length);
        info.bytes(attribute[2]);
        break;
    }
  }
}
