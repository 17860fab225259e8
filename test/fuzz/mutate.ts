import type { Random } from "./random.js";

/** Longer inputs are cut: speed finds more than size. */
export const MAX_INPUT_BYTES = 2048;

type Mutation = (input: Buffer, random: Random) => Buffer;

const overwriteByte: Mutation = (input, random) => {
  input[random.below(input.length)] = random.u32();
  return input;
};

const flipBit: Mutation = (input, random) => {
  const at = random.below(input.length);
  input[at] = (input[at] ?? 0) ^ (1 << random.below(8));
  return input;
};

/** A number of 2, 4 or 8 bytes at a place that is a multiple of its size, or any place. */
const overwriteNumber: Mutation = (input, random) => {
  const size = 2 << random.below(3);
  if (input.length < size) return overwriteByte(input, random);
  const any = random.below(input.length - size + 1);
  const at = random.oneIn(2) ? any : any - (any % size);
  if (size === 8) input.writeBigUInt64LE(random.interesting64(), at);
  else if (size === 4) input.writeUInt32LE(random.interesting32(), at);
  else input.writeUInt16LE(random.interesting32() & 0xffff, at);
  return input;
};

const remove: Mutation = (input, random) => {
  const from = random.below(input.length);
  const to = from + 1 + random.below(Math.min(64, input.length - from));
  return Buffer.concat([input.subarray(0, from), input.subarray(to)]);
};

const insert: Mutation = (input, random) => {
  const at = random.below(input.length + 1);
  const bytes = random.bytes(1 + random.below(16));
  return Buffer.concat([input.subarray(0, at), bytes, input.subarray(at)]);
};

/** Repeats some of the input at another place. */
const repeat: Mutation = (input, random) => {
  const from = random.below(input.length);
  const some = input.subarray(from, from + 1 + random.below(64));
  const at = random.below(input.length + 1);
  return Buffer.concat([input.subarray(0, at), some, input.subarray(at)]);
};

const MUTATIONS = [
  overwriteByte,
  flipBit,
  overwriteNumber,
  overwriteNumber,
  remove,
  insert,
  repeat,
];

/** A changed copy of `input`, which sometimes goes on as `other` does. */
export function mutate(input: Buffer, other: Buffer, random: Random): Buffer {
  let result: Buffer = random.oneIn(8)
    ? Buffer.concat([
        input.subarray(0, random.below(input.length + 1)),
        other.subarray(random.below(other.length + 1)),
      ])
    : Buffer.from(input);
  for (let count = 1 + random.below(4); count > 0; count--) {
    if (result.length === 0) return random.bytes(1 + random.below(16));
    result = random.pick(MUTATIONS)(result, random);
  }
  return result.subarray(0, MAX_INPUT_BYTES);
}
