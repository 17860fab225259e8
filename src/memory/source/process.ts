import { type BigIntStats, closeSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { MemoryError } from "../errors.js";
import { merged, partsUpTo } from "../extents.js";
import type { Extent } from "../physical-memory.js";
import { FileBacking } from "./file.js";
import { parseLayout } from "./layout.js";
import { type Backing, MappedMemory, type Piece } from "./mapped-memory.js";
import { ANONYMOUS, type Block, blocksOf, type HostMapping, parseMaps } from "./maps.js";
import { openChecked } from "./open-checked.js";
import { bestOf, type OpenOptions } from "./open-file.js";
import { type Placed, place, processLayouts } from "./process-layout.js";
import { type QemuMemory, qemuMemory } from "./qemu-arguments.js";
import { umlLayout } from "./uml.js";

const PAGE_BYTES = 4096;
/** /proc/PID/pagemap has a u64 a page; bit 63: it is in memory; bit 62: it is swapped out (proc_pid_pagemap(5)). */
const ENTRY_BYTES = 8;
const THERE = 0xc0;
/** So many entries are read at once: those of 512 MiB. */
const ENTRIES_AT_ONCE = 1 << 17;

/** A VMM has some hundred descriptors, and its memory's are among the first; of one file not so many. */
const MAX_DESCRIPTORS = 1 << 16;
const MAX_SAME_FILE = 3;

/** Its mappings take some 100 bytes each, of which there are 65,530 at most if nobody allows more. */
const MAX_TEXT_BYTES = 16 << 20;
const TEXT_BYTES_AT_ONCE = 64 << 10;

/** Opens the guest memory of a VMM's process, whichever VMM it is. Throws MemoryError. */
export function openProcess(pid: number, options: OpenOptions = {}): MappedMemory {
  const process = new VmmProcess(pid);
  try {
    const qemu = qemuMemory(process.text("cmdline").split("\0"));
    if (qemu?.encrypted !== undefined) {
      throw new MemoryError(
        "ENCRYPTED",
        `the guest's memory is encrypted (QEMU's ${qemu.encrypted}), and the host hasn't the key: nothing in it can be read`,
      );
    }
    const layouts = layoutsFor(parseMaps(process.text("maps")), qemu, options.layout);
    if (layouts.length === 0) {
      throw new MemoryError(
        "NOT_MEMORY",
        `process ${pid} has no memory that could be a guest's: name the VMM's own process`,
      );
    }
    const backings = new Map<Block, Backing>();
    const piece = ({ start, size, block, from }: Placed): Piece => {
      const backing = backings.get(block) ?? process.backing(block);
      backings.set(block, backing);
      return { start, size, backing, at: from };
    };
    const close = () => {
      process.close();
    };
    return bestOf(
      layouts.map((placed) => new MappedMemory(placed.map(piece), close)),
      options.fits,
    );
  } catch (error) {
    process.close();
    throw error;
  }
}

function layoutsFor(
  mappings: readonly HostMapping[],
  qemu: QemuMemory | undefined,
  layout: string | undefined,
): Placed[][] {
  const uml = umlLayout(mappings);
  if (uml !== undefined) return [uml];
  const layouts = processLayouts(blocksOf(mappings), qemu);
  if (layout === undefined) return layouts;
  const used = [...new Set(layouts[0]?.map(({ block }) => block))];
  const size = used.reduce((sum, block) => sum + block.size, 0);
  return [place(used, parseLayout(layout, size))];
}

/** What is read of a process below /proc. */
class VmmProcess {
  readonly #pid: number;
  readonly #open: number[] = [];
  #byFile: ReadonlyMap<string, readonly string[]> | undefined;
  /** Those that mappings are of. */
  readonly #files = new Map<string, number | undefined>();
  #memory: { readonly mem: number; readonly pagemap: number } | undefined;

  constructor(pid: number) {
    this.#pid = pid;
  }

  /** What a process may make as long as it likes is cut. */
  text(name: string): string {
    return this.#try(() => {
      const fd = openSync(`/proc/${this.#pid}/${name}`, "r");
      try {
        const part = Buffer.alloc(TEXT_BYTES_AT_ONCE);
        let text = "";
        while (text.length < MAX_TEXT_BYTES) {
          const count = readSync(fd, part);
          if (count === 0) break;
          text += part.toString("latin1", 0, count);
        }
        return text;
      } finally {
        closeSync(fd);
      }
    });
  }

  /** A file is read as one, which leaves the process's page tables alone, too. */
  backing(block: Block): Backing {
    if (block.file !== ANONYMOUS && !this.#files.has(block.file)) {
      this.#files.set(block.file, this.#fileOf(block));
    }
    const file = this.#files.get(block.file);
    const behind =
      file === undefined
        ? undefined
        : new ShiftedBacking(
            new FileBacking(file, `the memory of process ${this.#pid}`),
            block.offset,
          );
    if (behind !== undefined && block.isShared) return behind;
    // Shared memory that nobody can open as a file is asked for as anonymous memory is.
    if (behind === undefined && !block.isShared && block.file !== ANONYMOUS) {
      throw new MemoryError(
        "NO_RIGHT",
        `the file behind the memory of process ${this.#pid}, ${block.name}, can't be opened: ` +
          "have the right to read it, or name the file",
      );
    }
    this.#memory ??= this.#try(() => ({
      mem: this.#openFile("mem"),
      pagemap: this.#openFile("pagemap"),
    }));
    return new ProcessBacking(this.#pid, this.#memory, block.start, behind);
  }

  close(): void {
    for (const fd of this.#open.splice(0)) closeSync(fd);
  }

  #openFile(name: string): number {
    const fd = openSync(`/proc/${this.#pid}/${name}`, "r");
    this.#open.push(fd);
    return fd;
  }

  /** The file behind a block: the mapping's own link, a descriptor of the process, or its path. */
  #fileOf({ file, start, end, name }: Block): number | undefined {
    const paths = [
      `map_files/${start.toString(16)}-${end.toString(16)}`,
      ...(this.#descriptors.get(file) ?? []),
      `root${name}`,
    ];
    for (const path of paths) {
      const isSame = (status: BigIntStats) => fileId(status) === file;
      // It may be gone, or not ours to open: another one may do.
      const fd = orUndefined(() => openChecked(`/proc/${this.#pid}/${path}`, isSame));
      if (fd === undefined) continue;
      this.#open.push(fd);
      return fd;
    }
    return undefined;
  }

  /** The process's descriptors, by which file they are. */
  get #descriptors(): ReadonlyMap<string, readonly string[]> {
    if (this.#byFile !== undefined) return this.#byFile;
    const byFile = new Map<string, string[]>();
    const names = this.#try(() => readdirSync(`/proc/${this.#pid}/fd`));
    for (const name of names.slice(0, MAX_DESCRIPTORS)) {
      const path = `fd/${name}`;
      const status = orUndefined(() => statSync(`/proc/${this.#pid}/${path}`, { bigint: true }));
      if (status === undefined) continue;
      const file = fileId(status);
      byFile.set(file, [...(byFile.get(file) ?? []).slice(-MAX_SAME_FILE), path]);
    }
    this.#byFile = byFile;
    return byFile;
  }

  #try<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      throw processError(this.#pid, error);
    }
  }
}

function orUndefined<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch {
    return undefined;
  }
}

/** `fe:00 1234`, as maps has it. */
function fileId({ dev, ino }: BigIntStats): string {
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn);
  const hex = (part: bigint) => part.toString(16).padStart(2, "0");
  return `${hex(major)}:${hex(minor)} ${ino}`;
}

function processError(pid: number, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOENT" || code === "ESRCH") {
    return new MemoryError("ENDED", `there is no process ${pid}, or no more`);
  }
  if (code === "EACCES" || code === "EPERM") {
    return new MemoryError(
      "NO_RIGHT",
      `the memory of process ${pid} may not be read: be root or its user; a VMM that changed its user, or another ` +
        "user than root where kernel.yama.ptrace_scope is 1 or more, takes CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH",
    );
  }
  return error;
}

/** A part of a backing that begins elsewhere. */
class ShiftedBacking implements Backing {
  readonly #backing: Backing;
  readonly #by: number;

  constructor(backing: Backing, by: number) {
    this.#backing = backing;
    this.#by = by;
  }

  data(at: number, size: number): Extent[] {
    return this.#backing
      .data(at + this.#by, size)
      .map((found) => ({ start: found.start - this.#by, size: found.size }));
  }

  read(at: number, into: Buffer): void {
    this.#backing.read(at + this.#by, into);
  }
}

/**
 * A block of a process's memory, by /proc/PID/mem. Only pages that are there are read: reading another one would make
 * it. What isn't there is zeros, or in the file that the block is a private mapping of.
 */
class ProcessBacking implements Backing {
  readonly #pid: number;
  readonly #files: { readonly mem: number; readonly pagemap: number };
  readonly #base: number;
  readonly #behind: Backing | undefined;

  constructor(
    pid: number,
    files: { readonly mem: number; readonly pagemap: number },
    base: number,
    behind: Backing | undefined,
  ) {
    this.#pid = pid;
    this.#files = files;
    this.#base = base;
    this.#behind = behind;
  }

  data(at: number, size: number): Extent[] {
    return merged([
      ...partsUpTo(this.#there(at, size), at + size),
      ...(this.#behind?.data(at, size) ?? []),
    ]);
  }

  *#there(at: number, size: number): Generator<Extent, void, void> {
    for (const run of this.#runs(at, size)) if (run.isThere) yield run;
  }

  read(at: number, into: Buffer): void {
    for (const { start, size, isThere } of this.#runs(at, into.length)) {
      const part = into.subarray(start - at, start - at + size);
      if (isThere) this.#readMemory(start, part);
      else if (this.#behind !== undefined) this.#behind.read(start, part);
      else part.fill(0);
    }
  }

  #readMemory(at: number, into: Buffer): void {
    for (let done = 0; done < into.length; ) {
      const count = this.#call(() =>
        readSync(this.#files.mem, into, done, into.length - done, this.#base + at + done),
      );
      if (count === 0) throw this.#ended();
      done += count;
    }
  }

  /** The parts of [at, at + size) by whether there is memory for them. */
  *#runs(at: number, size: number): Generator<Extent & { readonly isThere: boolean }, void, void> {
    const end = at + size;
    let start = at;
    let wasThere: boolean | undefined;
    for (let next = at; next < end; ) {
      const first = Math.floor((this.#base + next) / PAGE_BYTES);
      const last = Math.ceil((this.#base + end) / PAGE_BYTES);
      const entries = this.#entries(first, Math.min(last - first, ENTRIES_AT_ONCE));
      for (let i = ENTRY_BYTES - 1; i < entries.length; i += ENTRY_BYTES) {
        const isThere = ((entries[i] ?? 0) & THERE) !== 0;
        if (wasThere !== undefined && isThere !== wasThere) {
          yield { start, size: next - start, isThere: wasThere };
          start = next;
        }
        wasThere = isThere;
        next += PAGE_BYTES - ((this.#base + next) % PAGE_BYTES);
      }
    }
    if (wasThere !== undefined) yield { start, size: end - start, isThere: wasThere };
  }

  #entries(first: number, count: number): Buffer {
    const entries = Buffer.allocUnsafe(count * ENTRY_BYTES);
    const { pagemap } = this.#files;
    const got = this.#call(() =>
      readSync(pagemap, entries, 0, entries.length, first * ENTRY_BYTES),
    );
    if (got < ENTRY_BYTES) throw this.#ended();
    return entries.subarray(0, got - (got % ENTRY_BYTES));
  }

  #call(read: () => number): number {
    try {
      return read();
    } catch (error) {
      // The mapping went away, and with it what was in it.
      if ((error as NodeJS.ErrnoException).code === "EIO") throw this.#ended();
      throw processError(this.#pid, error);
    }
  }

  #ended(): MemoryError {
    return new MemoryError("ENDED", `process ${this.#pid} ended, or unmapped the guest's memory`);
  }
}
