/**
 * Takes the kernel proper out of a bzImage (Linux, Documentation/arch/x86/boot.rst). QEMU starts an ELF vmlinux at
 * its PVH entry, without the firmware's boot protocol and without decompression in the guest, which under pure
 * emulation is more than half of the boot.
 */

export interface Payload {
  readonly data: Buffer;
  /** A program that reads the data on stdin and writes the kernel to stdout. */
  readonly command: readonly [string, ...string[]];
}

const magics: readonly (readonly [
  magic: string,
  command: readonly [string, ...string[]],
  sized: boolean,
])[] = [
  // `sized`: the kernel's build appends the unpacked size, which is no part of the compressed stream.
  ["1f8b", ["gzip", "-dc"], false],
  ["fd377a585a00", ["xz", "-dc"], true],
  ["28b52ffd", ["zstd", "-dcq"], true],
  ["02214c18", ["lz4", "-dcq"], true],
  ["425a68", ["bzip2", "-dc"], true],
  ["5d0000", ["xz", "-dc", "--format=lzma"], true],
];

export function findPayload(image: Buffer): Payload {
  if (image.length < 0x250 || image.toString("latin1", 0x202, 0x206) !== "HdrS") {
    throw new Error("not a bzImage: no HdrS at 0x202");
  }
  const setupSectors = image.readUInt8(0x1f1) || 4;
  const offset = (setupSectors + 1) * 512 + image.readUInt32LE(0x248);
  const length = image.readUInt32LE(0x24c);
  const payload = image.subarray(offset, offset + length);
  if (length === 0 || payload.length !== length) {
    throw new Error(`a bzImage's payload lies outside of it: ${offset} + ${length}`);
  }
  const head = payload.toString("hex", 0, 8);
  for (const [magic, command, sized] of magics) {
    if (head.startsWith(magic)) {
      return { data: sized ? payload.subarray(0, -4) : payload, command };
    }
  }
  throw new Error(`a bzImage's payload is compressed in an unknown way: ${head}`);
}

const ptNote = 4;
const xenPhys32Entry = 18;

/** Whether an ELF kernel has the note that names its PVH entry; QEMU refuses to start one without. */
export function hasPvhEntry(kernel: Buffer): boolean {
  if (kernel.toString("hex", 0, 5) !== "7f454c4602") return false;
  const table = Number(kernel.readBigUInt64LE(0x20));
  const entrySize = kernel.readUInt16LE(0x36);
  const entries = kernel.readUInt16LE(0x38);
  for (let index = 0; index < entries; index++) {
    const at = table + index * entrySize;
    if (kernel.readUInt32LE(at) !== ptNote) continue;
    const offset = Number(kernel.readBigUInt64LE(at + 8));
    const size = Number(kernel.readBigUInt64LE(at + 32));
    if (notesHavePvh(kernel.subarray(offset, offset + size))) return true;
  }
  return false;
}

function notesHavePvh(notes: Buffer): boolean {
  const aligned = (size: number): number => (size + 3) & ~3;
  let at = 0;
  while (at + 12 <= notes.length) {
    const nameSize = notes.readUInt32LE(at);
    const dataSize = notes.readUInt32LE(at + 4);
    const type = notes.readUInt32LE(at + 8);
    const name = notes.toString("latin1", at + 12, at + 12 + nameSize);
    if (type === xenPhys32Entry && name === "Xen\0") return true;
    at += 12 + aligned(nameSize) + aligned(dataSize);
  }
  return false;
}
