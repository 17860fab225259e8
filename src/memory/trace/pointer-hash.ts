const rotate = (value: bigint, by: bigint): bigint =>
  BigInt.asUintN(64, (value << by) | (value >> (64n - by)));

/**
 * What %p shows of a pointer: SipHash-2-4 of it with the boot's key, the low 32 bits of it (lib/vsprintf.c). With it
 * a pointer in a trace is found again in the guest's own log.
 * @param key ptr_key, 16 bytes
 */
export function pointerHash(pointer: bigint, key: Buffer): number {
  const k0 = key.readBigUInt64LE(0);
  const k1 = key.readBigUInt64LE(8);
  let v0 = 0x736f6d6570736575n ^ k0;
  let v1 = 0x646f72616e646f6dn ^ k1;
  let v2 = 0x6c7967656e657261n ^ k0;
  let v3 = 0x7465646279746573n ^ k1;
  const round = (): void => {
    v0 = BigInt.asUintN(64, v0 + v1);
    v1 = rotate(v1, 13n) ^ v0;
    v0 = rotate(v0, 32n);
    v2 = BigInt.asUintN(64, v2 + v3);
    v3 = rotate(v3, 16n) ^ v2;
    v0 = BigInt.asUintN(64, v0 + v3);
    v3 = rotate(v3, 21n) ^ v0;
    v2 = BigInt.asUintN(64, v2 + v1);
    v1 = rotate(v1, 17n) ^ v2;
    v2 = rotate(v2, 32n);
  };
  const absorb = (word: bigint): void => {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  };
  absorb(pointer);
  // The last word holds the length, 8 bytes.
  absorb(8n << 56n);
  v2 ^= 0xffn;
  for (let i = 0; i < 4; i++) round();
  return Number(BigInt.asUintN(32, v0 ^ v1 ^ v2 ^ v3));
}
