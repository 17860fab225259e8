import { type ChildProcessByStdio, spawn } from "node:child_process";
import { basename } from "node:path";
import type { Readable, Writable } from "node:stream";
import { printable } from "../../records/printable.js";
import type { DwarfProgram } from "./dwarf-program.js";
import { SymbolsError } from "./errors.js";

/** A line of source code, and the function that it is in. */
export interface SourceLine {
  readonly name: string;
  /** `drivers/foo.c:12`. */
  readonly source: string;
}

/** No address of a kernel: the answer to it tells that those before are complete. */
const END = "0xffffffffffffffff";
const END_ANSWER = /^0xffffffffffffffff\n.*\n.*\n/m;

/** For so many addresses at once, and so much for each: a file with damaged DWARF could make it endless. */
const BATCH = 256;
const MAX_ANSWER_BYTES = 2 << 20;

/** So many answers are kept. */
const MAX_KEPT = 65_536;

/** A running program that reads one file's DWARF, or one section's of a module. */
export class DwarfReader {
  readonly #program: DwarfProgram;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #kept = new Map<bigint, readonly SourceLine[]>();
  #output = Buffer.alloc(0);
  #complaint = "";
  #failure: Error | undefined;
  #wake: () => void = () => undefined;

  constructor(program: DwarfProgram) {
    this.#program = program;
    this.#child = spawn(program.path, program.arguments, { stdio: ["pipe", "pipe", "pipe"] });
    const { stdin, stdout, stderr } = this.#child;
    // Why it ended is seen below.
    stdin.on("error", () => undefined);
    stdout.on("data", (piece: Buffer) => {
      this.#output = Buffer.concat([this.#output, piece]);
      if (this.#output.length > MAX_ANSWER_BYTES) this.#fail("answers without an end");
      this.#wake();
    });
    stderr.on("data", (piece: Buffer) => {
      this.#complaint = (this.#complaint + printable(piece)).slice(0, 500);
    });
    this.#child.on("error", (error) => {
      this.#fail(error.message);
    });
    this.#child.on("close", () => {
      const [line = ""] = this.#complaint.split("\n");
      this.#fail(line === "" ? "ended" : line);
    });
  }

  /** What is at each address: outermost function first, then what is inlined in it; nothing where that isn't known. */
  async linesAt(
    addresses: ReadonlySet<bigint>,
  ): Promise<ReadonlyMap<bigint, readonly SourceLine[]>> {
    const found = new Map<bigint, readonly SourceLine[]>();
    if (this.#kept.size > MAX_KEPT) this.#kept.clear();
    const unknown: bigint[] = [];
    for (const address of addresses) {
      const kept = this.#kept.get(address);
      if (kept === undefined) unknown.push(address);
      else found.set(address, kept);
    }
    for (let at = 0; at < unknown.length; at += BATCH) {
      const batch = unknown.slice(at, at + BATCH);
      for (const [address, lines] of parseAnswers(await this.#ask(batch))) {
        found.set(address, lines);
        this.#kept.set(address, lines);
      }
    }
    return found;
  }

  close(): void {
    this.#child.kill();
  }

  async #ask(addresses: readonly bigint[]): Promise<string> {
    const asked = addresses.map((address) => `0x${address.toString(16)}\n`).join("");
    this.#child.stdin.write(`${asked}${END}\n`);
    for (;;) {
      const text = this.#output.toString("latin1");
      const end = END_ANSWER.exec(text);
      if (end !== null) {
        const answer = this.#output.subarray(0, end.index);
        this.#output = this.#output.subarray(end.index + end[0].length);
        return printable(answer);
      }
      if (this.#failure !== undefined) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #fail(why: string): void {
    const name = basename(this.#program.path);
    // It names itself in what it says.
    const line = why.replace(new RegExp(`^\\S*${name}: `), "");
    this.#failure ??= new SymbolsError(`${name} failed: ${line}`);
    this.#child.kill();
    this.#wake();
  }
}

/** For each address: a line with it, and for each function a line with its name and one with file and line. */
export function parseAnswers(text: string): Map<bigint, SourceLine[]> {
  const answers = new Map<bigint, SourceLine[]>();
  let lines: SourceLine[] = [];
  let name: string | undefined;
  for (const line of text.split("\n")) {
    if (/^0x[0-9a-f]{1,16}$/.test(line)) {
      lines = [];
      name = undefined;
      answers.set(BigInt(line), lines);
    } else if (name === undefined) {
      name = line;
    } else {
      // Innermost first; behind the number may stand `(discriminator 2)`.
      const source = /^(.*:[0-9]+)(?: \(discriminator [0-9]+\))?$/.exec(line)?.[1];
      if (source !== undefined && !source.startsWith("??:") && !source.endsWith(":0")) {
        lines.unshift({ name, source: source.replace(/^\.\//, "") });
      }
      name = undefined;
    }
  }
  return answers;
}
