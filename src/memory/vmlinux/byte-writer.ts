/** Bytes that grow, little-endian. */
export class ByteWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(roomBytes = 1 << 16) {
    this.#buffer = Buffer.alloc(roomBytes);
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): void {
    const at = this.#room(1);
    this.#buffer[at] = value;
  }

  u16(value: number): void {
    const at = this.#room(2);
    this.#buffer.writeUInt16LE(value, at);
  }

  u32(value: number): void {
    const at = this.#room(4);
    this.#buffer.writeUInt32LE(value, at);
  }

  u64(value: bigint): void {
    const at = this.#room(8);
    this.#buffer.writeBigUInt64LE(BigInt.asUintN(64, value), at);
  }

  bytes(bytes: Uint8Array): void {
    const at = this.#room(bytes.length);
    this.#buffer.set(bytes, at);
  }

  /** With a NUL behind it. */
  text(text: string): void {
    this.bytes(Buffer.from(`${text}\0`, "latin1"));
  }

  /** ULEB128 (DWARF 4, 7.6). */
  unsigned(value: number): void {
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.u8((rest % 0x80) | 0x80);
    this.u8(rest);
  }

  /** ULEB128 of more than 53 bits. */
  unsigned64(value: bigint): void {
    let rest = value;
    for (; rest >= 0x80n; rest >>= 7n) this.u8(Number(rest & 0x7fn) | 0x80);
    this.u8(Number(rest));
  }

  /** SLEB128 (DWARF 4, 7.6). */
  signed(value: bigint): void {
    for (let rest = value; ; rest >>= 7n) {
      const isLast = rest >= -0x40n && rest < 0x40n;
      this.u8(Number(rest & 0x7fn) | (isLast ? 0 : 0x80));
      if (isLast) return;
    }
  }

  /** Puts 4 bytes where some are already. */
  putU32(value: number, at: number): void {
    this.#buffer.writeUInt32LE(value, at);
  }

  putU64(value: bigint, at: number): void {
    this.#buffer.writeBigUInt64LE(BigInt.asUintN(64, value), at);
  }

  u32At(at: number): number {
    return this.#buffer.readUInt32LE(at);
  }

  /** What was written, which nothing is to be written to any more. */
  take(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  #room(size: number): number {
    const at = this.#length;
    this.#length += size;
    if (this.#length > this.#buffer.length) {
      const larger = Buffer.alloc(Math.max(this.#buffer.length * 2, this.#length));
      this.#buffer.copy(larger, 0, 0, at);
      this.#buffer = larger;
    }
    return at;
  }
}
