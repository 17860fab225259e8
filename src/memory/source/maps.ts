/** A part of a process's address space (proc_pid_maps(5)). Addresses have 47 bits, or 56: numbers hold them exactly. */
export interface HostMapping {
  readonly start: number;
  readonly end: number;
  readonly isShared: boolean;
  /** Readable, writable and not executable. */
  readonly isData: boolean;
  /** In the file. */
  readonly offset: number;
  /** `fe:00 1234`: which file; `00:00 0` for anonymous memory. */
  readonly file: string;
  /** The file's name, or what the kernel calls it. */
  readonly name: string;
}

const LINE = /^([0-9a-f]+)-([0-9a-f]+) (..)(.)(.) ([0-9a-f]+) (\S+ \d+) *(.*)$/;

export const ANONYMOUS = "00:00 0";

export function parseMaps(text: string): HostMapping[] {
  return text.split("\n").flatMap((line) => {
    const [, start, end, access, execute, share, offset, file = "", name = ""] =
      LINE.exec(line) ?? [];
    if (start === undefined || end === undefined || offset === undefined) return [];
    return {
      start: Number.parseInt(start, 16),
      end: Number.parseInt(end, 16),
      isShared: share === "s",
      isData: access === "rw" && execute === "-",
      offset: Number.parseInt(offset, 16),
      file,
      name,
    };
  });
}

/** A run of data mappings that hold one file's bytes, or none's, one after the other. */
export interface Block extends HostMapping {
  readonly size: number;
}

/**
 * What may be guest memory: whole blocks of data; a file's may be mapped in pieces, one behind the other. Neither stacks, heaps, nor devices.
 */
export function blocksOf(mappings: readonly HostMapping[]): Block[] {
  const blocks: Block[] = [];
  for (const mapping of mappings.filter(mayHoldGuest)) {
    const last = blocks.at(-1);
    const size = mapping.end - mapping.start;
    if (last !== undefined && goesOn(last, mapping)) {
      blocks[blocks.length - 1] = { ...last, end: mapping.end, size: last.size + size };
    } else {
      blocks.push({ ...mapping, size });
    }
  }
  return blocks;
}

function mayHoldGuest({ isData, name }: HostMapping): boolean {
  if (!isData || /^\[(?!anon)/.test(name)) return false;
  return !name.startsWith("/dev/") || /^\/dev\/(?:shm|hugepages|zero|mshv)\b/.test(name);
}

function goesOn(before: Block, next: HostMapping): boolean {
  return (
    before.end === next.start &&
    before.isShared === next.isShared &&
    before.file === next.file &&
    before.name === next.name &&
    // Anonymous neighbours that the kernel keeps apart were mapped for different things.
    next.file !== ANONYMOUS &&
    before.offset + before.size === next.offset
  );
}
