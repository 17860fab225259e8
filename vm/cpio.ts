/**
 * Writes "newc" cpio archives, the form in which Linux takes an initramfs (Documentation/driver-api/
 * early-userspace/buffer-format.rst). Archives may simply be joined; a later one's files replace an earlier one's.
 */
export interface CpioEntry {
  readonly path: string;
  readonly data: Uint8Array | string;
  /** File type and permissions as in st_mode. */
  readonly mode: number;
  readonly device?: readonly [major: number, minor: number];
}

export const fileMode = 0o100644;
export const programMode = 0o100755;
export const directoryMode = 0o040755;
export const linkMode = 0o120777;
export const characterDeviceMode = 0o020600;

function padding(size: number): Buffer {
  return Buffer.alloc((4 - (size % 4)) % 4);
}

function member(entry: CpioEntry, inode: number): Buffer[] {
  const data = Buffer.from(entry.data);
  const name = Buffer.from(`${entry.path}\0`);
  const [major, minor] = entry.device ?? [0, 0];
  const fields = [inode, entry.mode, 0, 0, 1, 0, data.length, 0, 0, major, minor, name.length, 0];
  const hex = fields.map((field) => field.toString(16).padStart(8, "0")).join("");
  const head = Buffer.concat([Buffer.from(`070701${hex}`), name]);
  return [head, padding(head.length), data, padding(data.length)];
}

export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const trailer: CpioEntry = { path: "TRAILER!!!", data: "", mode: 0 };
  // Inodes are never equal here, and nlink is 1, so that nothing is taken for a hard link.
  return Buffer.concat([...entries, trailer].flatMap((entry, index) => member(entry, index + 1)));
}
