/** An entry of .debug_info. */
export interface Entry {
  /** Where it is in .debug_info. */
  readonly at: number;
  readonly tag: number;
  readonly values: ReadonlyMap<number, number | bigint | string | Buffer | true>;
  readonly children: readonly Entry[];
}

/** Reads bytes one after the other; throws behind their end. */
class Reader {
  readonly bytes: Buffer;
  at: number;

  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }

  u8(): number {
    return this.bytes.readUInt8(this.at++);
  }

  u16(): number {
    this.at += 2;
    return this.bytes.readUInt16LE(this.at - 2);
  }

  u32(): number {
    this.at += 4;
    return this.bytes.readUInt32LE(this.at - 4);
  }

  u64(): bigint {
    this.at += 8;
    return this.bytes.readBigUInt64LE(this.at - 8);
  }

  unsigned(): bigint {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.u8();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }

  signed(): bigint {
    let value = 0n;
    for (let shift = 0n; ; ) {
      const byte = this.u8();
      value |= BigInt(byte & 0x7f) << shift;
      shift += 7n;
      if (byte < 0x80) return (byte & 0x40) === 0 ? value : value - (1n << shift);
    }
  }

  take(length: number): Buffer {
    if (this.at + length > this.bytes.length) throw new RangeError("behind the end");
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  text(): string {
    const end = this.bytes.indexOf(0, this.at);
    if (end < 0) throw new RangeError("a text without an end");
    const text = this.bytes.toString("latin1", this.at, end);
    this.at = end + 1;
    return text;
  }
}

interface Abbreviation {
  readonly tag: number;
  readonly hasChildren: boolean;
  readonly attributes: readonly (readonly [name: number, form: number])[];
}

/** Sections of DWARF 4, as the standard's chapter 7 has them; throws where something leads nowhere. */
export function readDwarf(sections: {
  readonly info: Buffer;
  readonly abbreviations: Buffer;
  readonly strings: Buffer;
}): Entry[] {
  const abbreviations = readAbbreviations(new Reader(sections.abbreviations));
  const info = new Reader(sections.info);
  const units: Entry[] = [];
  while (info.at < info.bytes.length) {
    const end = info.u32() + info.at;
    if (info.u16() !== 4 || info.u32() !== 0 || info.u8() !== 8) throw new Error("a unit's header");
    const unit = readEntry(info, abbreviations, sections.strings);
    if (unit === undefined || info.at !== end) throw new Error(`a unit ends at ${info.at}`);
    units.push(unit);
  }
  return units;
}

function readAbbreviations(reader: Reader): Map<number, Abbreviation> {
  const found = new Map<number, Abbreviation>();
  for (let code = reader.unsigned(); code !== 0n; code = reader.unsigned()) {
    const tag = Number(reader.unsigned());
    const hasChildren = reader.u8() === 1;
    const attributes: [number, number][] = [];
    for (;;) {
      const [name, form] = [Number(reader.unsigned()), Number(reader.unsigned())];
      if (name === 0) break;
      attributes.push([name, form]);
    }
    found.set(Number(code), { tag, hasChildren, attributes });
  }
  return found;
}

function readEntry(
  reader: Reader,
  abbreviations: ReadonlyMap<number, Abbreviation>,
  strings: Buffer,
): Entry | undefined {
  const at = reader.at;
  const code = Number(reader.unsigned());
  if (code === 0) return undefined;
  const abbreviation = abbreviations.get(code);
  if (abbreviation === undefined) throw new Error(`no abbreviation ${code}`);
  const { tag, hasChildren, attributes } = abbreviation;
  const values = new Map(
    attributes.map(([name, form]) => [name, readValue(reader, form, strings)] as const),
  );
  const children: Entry[] = [];
  if (hasChildren) {
    for (;;) {
      const child = readEntry(reader, abbreviations, strings);
      if (child === undefined) break;
      children.push(child);
    }
  }
  return { at, tag, values, children };
}

function readValue(reader: Reader, form: number, strings: Buffer) {
  switch (form) {
    case 0x0b:
      return reader.u8();
    case 0x0d:
      return reader.signed();
    case 0x0e:
      return new Reader(strings, reader.u32()).text();
    case 0x0f:
      return reader.unsigned();
    case 0x10:
      return reader.u32();
    case 0x18:
      return reader.take(Number(reader.unsigned()));
    case 0x19:
      return true;
    default:
      throw new Error(`form ${form}`);
  }
}

/** How a frame's registers are found: as text, `cfa` and the registers' numbers as keys. */
export interface FrameRow {
  readonly address: bigint;
  readonly end: bigint;
  readonly augmentation: string;
  readonly rules: Readonly<Record<string, string>>;
}

/** The rows of .debug_frame (DWARF 4, 6.4). */
export function readFrames(section: Buffer): FrameRow[] {
  const rows: FrameRow[] = [];
  const reader = new Reader(section);
  while (reader.at < section.length) {
    const length = reader.u32();
    const next = reader.at + length;
    const cieAt = reader.u32();
    if (cieAt !== 0xffffffff) rows.push(...readFde(reader, readCie(section, cieAt), next));
    reader.at = next;
  }
  return rows;
}

function readCie(section: Buffer, at: number) {
  const reader = new Reader(section, at);
  const end = reader.u32() + reader.at;
  if (reader.u32() !== 0xffffffff || reader.u8() !== 4) throw new Error("no CIE");
  const augmentation = reader.text();
  if (reader.u8() !== 8 || reader.u8() !== 0 || reader.unsigned() !== 1n) throw new Error("a CIE");
  if (reader.signed() !== -8n || reader.unsigned() !== 16n) throw new Error("a CIE");
  if (augmentation.startsWith("z")) reader.take(Number(reader.unsigned()));
  const rules: Record<string, string> = {};
  run(reader, end, rules, {}, () => undefined);
  return { augmentation, rules };
}

function readFde(
  reader: Reader,
  { augmentation, rules: initial }: ReturnType<typeof readCie>,
  end: number,
): FrameRow[] {
  let address = reader.u64();
  const last = address + reader.u64();
  if (augmentation.startsWith("z")) reader.take(Number(reader.unsigned()));
  const rules = { ...initial };
  const rows: FrameRow[] = [];
  const row = (to: bigint) => {
    rows.push({ address, end: to, augmentation, rules: { ...rules } });
    address = to;
  };
  run(reader, end, rules, initial, (distance) => {
    row(address + BigInt(distance));
  });
  row(last);
  return rows;
}

const at = (offset: bigint | number) => `[cfa${offset < 0 ? "" : "+"}${offset}]`;

function run(
  reader: Reader,
  end: number,
  rules: Record<string, string>,
  initial: Readonly<Record<string, string>>,
  advance: (distance: number) => void,
): void {
  while (reader.at < end) {
    const op = reader.u8();
    const low = op & 0x3f;
    const register = () => String(reader.unsigned());
    if (op >> 6 === 1) advance(low);
    else if (op >> 6 === 2) rules[low] = at(reader.unsigned() * -8n);
    else if (op >> 6 === 3) rules[low] = initial[low] ?? "";
    else if (op === 0x02) advance(reader.u8());
    else if (op === 0x03) advance(reader.u16());
    else if (op === 0x04) advance(reader.u32());
    else if (op === 0x07) rules[register()] = "undefined";
    else if (op === 0x08) rules[register()] = "same";
    else if (op === 0x0c) rules.cfa = `${register()}+${reader.unsigned()}`;
    else if (op === 0x0f) rules.cfa = expression(reader);
    else if (op === 0x10) rules[register()] = `[${expression(reader)}]`;
    else if (op === 0x11) rules[register()] = at(reader.signed() * -8n);
    else if (op !== 0) throw new Error(`instruction ${op}`);
  }
}

function expression(reader: Reader): string {
  const end = Number(reader.unsigned()) + reader.at;
  const stack: string[] = [];
  while (reader.at < end) {
    const op = reader.u8();
    if (op >= 0x70 && op <= 0x8f) stack.push(`${op - 0x70}${sign(reader.signed())}`);
    else if (op === 0x06) stack.push(`[${stack.pop()}]`);
    else if (op === 0x11) stack.push(sign(reader.signed()));
    else if (op === 0x22) stack.push([stack.pop(), stack.pop()].reverse().join(""));
    else throw new Error(`operation ${op}`);
  }
  return stack.join(" ");
}

const sign = (value: bigint) => `${value < 0n ? "" : "+"}${value}`;
