import { MemoryError } from "../errors.js";

/** What the kernel tells of itself for dumps: lines of `KEY=value` in a page (Linux, kernel/vmcore_info.c). */
export class VmcoreInfo {
  /** As it is in memory, without what follows its end. */
  readonly text: string;
  readonly #values: ReadonlyMap<string, string>;

  constructor(text: string) {
    this.text = text;
    this.#values = new Map(
      text.split("\n").flatMap((line) => {
        const at = line.indexOf("=");
        return at > 0 ? [[line.slice(0, at), line.slice(at + 1)] as const] : [];
      }),
    );
  }

  get release(): string {
    return this.#values.get("OSRELEASE") ?? "";
  }

  /** In hexadecimal digits. */
  get buildId(): string | undefined {
    return this.#values.get("BUILD-ID");
  }

  /** What was added to the addresses of the kernel's image. */
  get kernelOffset(): bigint {
    return parse(this.#values.get("KERNELOFFSET"), 16) ?? 0n;
  }

  /** Of `NUMBER(name)`. */
  number(name: string): bigint | undefined {
    return parse(this.#values.get(`NUMBER(${name})`), 10);
  }

  /** An address, of `SYMBOL(name)`. */
  symbol(name: string): bigint | undefined {
    return parse(this.#values.get(`SYMBOL(${name})`), 16);
  }

  /** In bytes, of `SIZE(name)`. */
  size(name: string): number | undefined {
    return small(parse(this.#values.get(`SIZE(${name})`), 10));
  }

  /** In bytes, of `OFFSET(structure.member)`. */
  offset(name: string): number | undefined {
    return small(parse(this.#values.get(`OFFSET(${name})`), 10));
  }

  /** Elements, of `LENGTH(name)`. */
  length(name: string): number | undefined {
    return small(parse(this.#values.get(`LENGTH(${name})`), 10));
  }

  /** All keys of a kind, as `SIZE`, with what is in their brackets. */
  names(kind: "SIZE" | "OFFSET" | "LENGTH" | "SYMBOL" | "NUMBER"): string[] {
    return [...this.#values.keys()].flatMap((key) =>
      key.startsWith(`${kind}(`) && key.endsWith(")") ? [key.slice(kind.length + 1, -1)] : [],
    );
  }

  /** Throws MemoryError where the kernel doesn't say it. */
  expectOffset(name: string): number {
    return this.offset(name) ?? missing(`OFFSET(${name})`);
  }

  /** Throws MemoryError where the kernel doesn't say it. */
  expectSize(name: string): number {
    return this.size(name) ?? missing(`SIZE(${name})`);
  }

  /** Throws MemoryError where the kernel doesn't say it. */
  expectSymbol(name: string): bigint {
    return this.symbol(name) ?? missing(`SYMBOL(${name})`);
  }
}

function missing(key: string): never {
  throw new MemoryError("NOT_DESCRIBED", `the kernel's VMCOREINFO has no ${key}`);
}

function parse(text: string | undefined, base: 10 | 16): bigint | undefined {
  if (text === undefined) return undefined;
  const hex = text.startsWith("0x");
  const digits = hex ? text.slice(2) : text;
  if (base === 16 || hex) {
    return /^[0-9a-f]{1,16}$/i.test(digits) ? BigInt(`0x${digits}`) : undefined;
  }
  return /^-?[0-9]{1,20}$/.test(digits) ? BigInt(digits) : undefined;
}

/** Of sizes and offsets that are larger, none is true. */
function small(value: bigint | undefined): number | undefined {
  return value !== undefined && value >= 0n && value < 2n ** 31n ? Number(value) : undefined;
}
