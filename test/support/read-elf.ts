import { closeSync, openSync, readSync } from "node:fs";

/** A symbol of .symtab. */
export interface ElfSymbol {
  readonly name: string;
  readonly address: bigint;
  readonly size: bigint;
  /** The name of its section; undefined for an absolute one. */
  readonly section: string | undefined;
}

/** An ELF file's sections and symbols (elf(5), ELF64 in little-endian order). */
export class ElfReader {
  readonly #path: string;
  readonly #sections: { name: string; type: number; at: number; size: number }[];

  constructor(path: string) {
    this.#path = path;
    const header = this.#read(0, 64);
    const count = header.readUInt16LE(60);
    const table = this.#read(Number(header.readBigUInt64LE(40)), count * 64);
    const plain = Array.from({ length: count }, (_, i) => {
      const one = table.subarray(i * 64, (i + 1) * 64);
      return {
        nameAt: one.readUInt32LE(0),
        type: one.readUInt32LE(4),
        at: Number(one.readBigUInt64LE(24)),
        size: Number(one.readBigUInt64LE(32)),
      };
    });
    const names = plain[header.readUInt16LE(62)];
    if (names === undefined) throw new Error(`${path} has no names of sections`);
    const texts = this.#read(names.at, names.size);
    this.#sections = plain.map((one) => ({ ...one, name: textAt(texts, one.nameAt) }));
  }

  /** What is in the first section of that name. */
  section(name: string): Buffer {
    const found = this.#sections.find((one) => one.name === name);
    if (found === undefined) throw new Error(`${this.#path} has no ${name}`);
    return this.#read(found.at, found.size);
  }

  /** Without the empty one that comes first. */
  symbols(): ElfSymbol[] {
    const [table, names] = [this.section(".symtab"), this.section(".strtab")];
    return Array.from({ length: table.length / 24 - 1 }, (_, i) => {
      const one = table.subarray((i + 1) * 24, (i + 2) * 24);
      return {
        name: textAt(names, one.readUInt32LE(0)),
        address: one.readBigUInt64LE(8),
        size: one.readBigUInt64LE(16),
        section: this.#sections[one.readUInt16LE(6)]?.name,
      };
    });
  }

  #read(at: number, size: number): Buffer {
    const bytes = Buffer.alloc(size);
    const fd = openSync(this.#path, "r");
    try {
      if (readSync(fd, bytes, 0, size, at) !== size) throw new Error(`${this.#path} is too short`);
    } finally {
      closeSync(fd);
    }
    return bytes;
  }
}

const textAt = (texts: Buffer, at: number): string =>
  texts.toString("latin1", at, texts.indexOf(0, at));
