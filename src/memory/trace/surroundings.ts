import { MemoryError } from "../errors.js";
import type { Kernel } from "../kernel/index.js";
import { codeText } from "../symbol-text.js";
import type { Events } from "./events.js";
import { pointerHash } from "./pointer-hash.js";
import type { Surroundings } from "./print-fmt/value.js";

/** Texts that events point to are the kernel's own constants. */
const MAX_TEXT = 1024;

/** Addresses and texts that were looked up once: a trace has few different ones. */
const MAX_KNOWN = 100_000;

const KEY_BYTES = 16;

/** Errors are shown as they are, as NULL is (include/linux/err.h, MAX_ERRNO). */
const FIRST_ERROR = 2n ** 64n - 4095n;

/** What the texts of an instance's events ask of the kernel. */
export class KernelSurroundings implements Surroundings {
  readonly #kernel: Kernel;
  readonly #events: Events;
  readonly #key: Buffer | undefined;
  readonly #symbols = new Map<bigint, string>();
  readonly #pointers = new Map<bigint, string>();
  readonly #texts = new Map<bigint, string | undefined>();

  /** @param hashPointers the option hash-ptr, or the kernel's no_hash_pointers. */
  constructor(kernel: Kernel, events: Events, hashPointers: boolean) {
    this.#kernel = kernel;
    this.#events = events;
    this.#key = hashPointers
      ? kernel.attempt("the key of hashed pointers", () =>
          kernel.read(kernel.expectSymbol("ptr_key"), KEY_BYTES),
        )
      : undefined;
  }

  constant(name: string): bigint | undefined {
    return this.#kernel.types?.constant(name);
  }

  variable(name: string): bigint | undefined {
    const address = this.#kernel.symbols?.address(name);
    return address === undefined
      ? undefined
      : this.#kernel.attempt(`the variable ${name}`, () => this.#kernel.u64(address));
  }

  spend(work: number): void {
    this.#kernel.budget.spend(work);
  }

  sizeOf(struct: string): number | undefined {
    return this.#kernel.types?.struct(struct)?.size;
  }

  integerType(name: string): ReturnType<Surroundings["integerType"]> {
    return this.#events.integerType([name]);
  }

  symbol(address: bigint, withOffset: boolean): string {
    const key = (address << 1n) | (withOffset ? 1n : 0n);
    return remembered(this.#symbols, key, () =>
      codeText(address, this.#kernel.symbols?.at(address), withOffset),
    );
  }

  /** A function in a trace, as seq_print_ip_sym() shows it: without its module. */
  functionName(address: bigint, withOffset: boolean): string {
    if (address === 0n) return "0";
    const at = this.#kernel.symbols?.at(address);
    if (at === undefined) return `0x${address.toString(16).padStart(8, "0")}`;
    return withOffset ? this.symbol(address, true) : at.name;
  }

  pointer(address: bigint): string {
    return remembered(this.#pointers, address, () => {
      const isShown = address === 0n || address >= FIRST_ERROR;
      const shown =
        this.#key === undefined || isShown ? address : BigInt(pointerHash(address, this.#key));
      return shown.toString(16).padStart(16, "0");
    });
  }

  text(address: bigint): string | undefined {
    return remembered(this.#texts, address, () => {
      try {
        return this.#kernel.text(address, MAX_TEXT);
      } catch (error) {
        if (!(error instanceof MemoryError)) throw error;
        return undefined;
      }
    });
  }
}

function remembered<T>(known: Map<bigint, T>, key: bigint, make: () => T): T {
  const old = known.get(key);
  if (old !== undefined) return old;
  const made = make();
  if (known.size === MAX_KNOWN) known.clear();
  known.set(key, made);
  return made;
}
