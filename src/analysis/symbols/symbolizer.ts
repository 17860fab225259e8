import { printableLine } from "../../records/printable.js";
import { type CodeLocation, locationsIn } from "./code-locations.js";
import { findDebugFiles } from "./debug-directory.js";
import { findDwarfProgram, hasDwarfProgram } from "./dwarf-program.js";
import { DwarfReader, type SourceLine } from "./dwarf-reader.js";
import { type ElfFile, readElfFile } from "./elf-file.js";
import { SymbolsError } from "./errors.js";
import type { KernelSymbol, SymbolTable } from "./symbol-table.js";
import { readSystemMap } from "./system-map.js";

/** Where symbols are to be had. */
export interface SymbolFiles {
  /** The kernel as an ELF file with its symbols. */
  readonly vmlinux?: string | undefined;
  /** With vmlinux in it, and modules in it or below it. */
  readonly debugDir?: string | undefined;
  readonly systemMap?: string | undefined;
}

/** A guest's log names modules as it likes: no more programs than that run at once. */
const MAX_READERS = 8;

/** Modules that are said to be missing. */
const MAX_COMPLAINTS = 8;

/** A location, and the symbol that it is in. */
interface Found {
  readonly file: ElfFile | undefined;
  readonly symbol: KernelSymbol;
  /** In bytes from the symbol, as the log has it. */
  readonly offset: bigint;
  /** Of the instruction that counts, as the file has it. */
  readonly address: bigint;
}

/** Writes file and line behind what a log says of locations in the kernel. */
export class Symbolizer {
  readonly #kernel: ElfFile | undefined;
  readonly #map: SymbolTable | undefined;
  readonly #moduleFiles: ReadonlyMap<string, readonly string[]>;
  readonly #modules = new Map<string, ElfFile | undefined>();
  /** By path and section, the one that was asked last at the end. */
  readonly #readers = new Map<string, DwarfReader>();
  readonly #complain: (line: string) => void;
  readonly #complained = new Set<string>();

  /** `complain` gets a line for what can't be looked up. SymbolsError and Node's errors for files that are no use. */
  constructor(files: SymbolFiles, complain: (line: string) => void) {
    this.#complain = complain;
    const found = files.debugDir === undefined ? undefined : findDebugFiles(files.debugDir);
    this.#moduleFiles = found?.modules ?? new Map();
    const vmlinux = files.vmlinux ?? found?.vmlinux;
    if (vmlinux !== undefined) {
      this.#kernel = readElfFile(vmlinux);
      if (!this.#kernel.hasDwarf)
        throw new SymbolsError(`${vmlinux} has no debug information (DWARF)`);
    }
    if (found !== undefined || vmlinux !== undefined) expectDwarfProgram();
    if (files.systemMap !== undefined) this.#map = readSystemMap(files.systemMap);
  }

  /** Addresses without symbols are told by what KASLR added to them. */
  get needsKernelOffset(): boolean {
    return this.#kernel !== undefined || this.#map !== undefined;
  }

  /** Lines with what is known of their locations. `offset` is KASLR's; undefined where nobody knows it. */
  async annotate(text: string, offset: bigint | undefined): Promise<string> {
    const lines = text.split("\n").map((line) => ({ line, locations: locationsIn(line) }));
    const found = new Map<CodeLocation, Found>();
    for (const location of lines.flatMap(({ locations }) => locations)) {
      const one = this.#find(location, offset);
      if (one !== undefined) found.set(location, one);
    }
    const sources = await this.#sources(found);
    return lines
      .map(({ line, locations }) => annotateLine(line, locations, found, sources))
      .join("\n");
  }

  close(): void {
    for (const reader of this.#readers.values()) reader.close();
  }

  #find(location: CodeLocation, kernelOffset: bigint | undefined): Found | undefined {
    if (location.kind === "address") {
      if (kernelOffset === undefined) return undefined;
      const address = location.address - kernelOffset;
      const symbol = (this.#kernel?.symbols ?? this.#map)?.at(address);
      if (symbol === undefined) return undefined;
      return foundAt(location, this.#kernel, symbol, address - symbol.value);
    }
    const file = location.module === undefined ? this.#kernel : this.#module(location.module);
    if (file === undefined) return undefined;
    const symbol = file.symbols.find(location.symbol, location.size);
    if (symbol === undefined) {
      if (file.symbols.isKnown(location.symbol)) {
        this.#complainOnce(
          file.path,
          `${file.path} is of another build: ${location.symbol} isn't as long in it as in the log`,
        );
      }
      return undefined;
    }
    return foundAt(location, file, symbol, location.offset);
  }

  #module(name: string): ElfFile | undefined {
    if (this.#modules.has(name)) return this.#modules.get(name);
    const paths = this.#moduleFiles.get(name);
    let file: ElfFile | undefined;
    for (const path of paths ?? []) {
      try {
        const one = readElfFile(path);
        if (one.hasDwarf) file = one;
        if (file !== undefined) break;
      } catch (error) {
        this.#complainOnce(path, error instanceof Error ? error.message : String(error));
      }
    }
    if (paths !== undefined) {
      if (file === undefined)
        this.#complainOnce(name, `no file of module ${name} has debug information (DWARF)`);
      this.#modules.set(name, file);
    } else if (this.#moduleFiles.size > 0) {
      this.#complainOnce(name, `there is no file of module ${name}`);
    }
    return file;
  }

  /** Asks for all locations of a section at once. */
  async #sources(
    found: ReadonlyMap<CodeLocation, Found>,
  ): Promise<Map<Found, readonly SourceLine[]>> {
    const sections = new Map<string, { file: ElfFile; section: string; all: Found[] }>();
    for (const one of found.values()) {
      const { file, symbol } = one;
      if (file === undefined) continue;
      const section = file.sectionNames[symbol.section] ?? "";
      const key = `${file.path}\0${section}`;
      const known = sections.get(key);
      if (known === undefined) sections.set(key, { file, section, all: [one] });
      else known.all.push(one);
    }
    const sources = new Map<Found, readonly SourceLine[]>();
    for (const [key, { file, section, all }] of sections) {
      const addresses = new Set(all.map(({ address }) => address));
      const lines = await this.#linesAt(key, file, section, addresses);
      for (const one of all) sources.set(one, lines.get(one.address) ?? []);
    }
    return sources;
  }

  /** Nothing where the file can't be read: the log is worth showing without. */
  async #linesAt(
    key: string,
    file: ElfFile,
    section: string,
    addresses: ReadonlySet<bigint>,
  ): Promise<ReadonlyMap<bigint, readonly SourceLine[]>> {
    const slow = setTimeout(() => {
      this.#complainOnce(`${key} is slow`, `reading the debug information of ${file.path} …`);
    }, 2_000);
    try {
      return (await this.#reader(key, file, section)?.linesAt(addresses)) ?? new Map();
    } catch (error) {
      if (!(error instanceof SymbolsError)) throw error;
      const line = `${file.path}: ${error.message}`;
      this.#complainOnce(line, line);
      return new Map();
    } finally {
      clearTimeout(slow);
    }
  }

  #reader(key: string, file: ElfFile, section: string): DwarfReader | undefined {
    let reader = this.#readers.get(key);
    if (reader === undefined) {
      const program = findDwarfProgram(file, section);
      if (program === undefined) {
        this.#complainOnce("addr2line", "modules need addr2line in $PATH: install binutils");
        return undefined;
      }
      reader = new DwarfReader(program);
    }
    this.#readers.delete(key);
    this.#readers.set(key, reader);
    const [oldest] = this.#readers;
    if (this.#readers.size > MAX_READERS && oldest !== undefined) {
      oldest[1].close();
      this.#readers.delete(oldest[0]);
    }
    return reader;
  }

  #complainOnce(about: string, line: string): void {
    if (this.#complained.has(about) || this.#complained.size >= MAX_COMPLAINTS) return;
    this.#complained.add(about);
    this.#complain(line);
  }
}

function expectDwarfProgram(): void {
  if (hasDwarfProgram()) return;
  throw new SymbolsError(
    "neither llvm-symbolizer nor addr2line is in $PATH: install llvm or binutils",
  );
}

/** A return's offset may be that of the next function, where a call was the last instruction: inside the call. */
function foundAt(
  { isReturn }: CodeLocation,
  file: ElfFile | undefined,
  symbol: KernelSymbol,
  offset: bigint,
): Found {
  const back = isReturn && offset > 0n ? 1n : 0n;
  return { file, symbol, offset, address: symbol.value + offset - back };
}

/** The line with what was found behind each location, and below it a line for each function that is inlined there. */
function annotateLine(
  line: string,
  locations: readonly CodeLocation[],
  found: ReadonlyMap<CodeLocation, Found>,
  sources: ReadonlyMap<Found, readonly SourceLine[]>,
): string {
  let text = "";
  let done = 0;
  const below: string[] = [];
  for (const location of locations) {
    const one = found.get(location);
    if (one === undefined) continue;
    const [outermost, ...inlined] = sources.get(one) ?? [];
    // The symbols may have come with the guest.
    const name = printableLine(one.symbol.name);
    const symbol = location.kind === "address" ? `${name}+0x${one.offset.toString(16)}` : undefined;
    const facts = [symbol, outermost?.source].filter((fact) => fact !== undefined);
    if (facts.length === 0) continue;
    text += `${line.slice(done, location.end)} (${facts.join(" ")})`;
    done = location.end;
    inlined.forEach(({ name, source }, depth) => {
      below.push(`${" ".repeat(location.start + 2 * (depth + 1))}${name} (${source}) (inlined)`);
    });
  }
  return [text + line.slice(done), ...below].join("\n");
}
