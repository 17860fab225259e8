/** Somewhere in the kernel that a line of a log names. */
export type CodeLocation = FrameLocation | AddressLocation;

/** `foo+0x1f/0x40 [module]`, as sprint_symbol() of kernel/kallsyms.c writes it. */
export interface FrameLocation {
  readonly kind: "frame";
  readonly symbol: string;
  /** Where the processor was, or returns to, in bytes from the symbol. */
  readonly offset: bigint;
  /** Bytes up to the next symbol. */
  readonly size: bigint;
  /** Undefined in the kernel itself. */
  readonly module: string | undefined;
  /** It is where a call returns to: the call is what counts, and that lies before it. */
  readonly isReturn: boolean;
  readonly start: number;
  readonly end: number;
}

/** `ffffffff81012345`, in the half of the address space that is the kernel's. */
export interface AddressLocation {
  readonly kind: "address";
  readonly address: bigint;
  /** As for frames: `0xffffffff81012345` is what stands in a trace where the kernel knows no symbols. */
  readonly isReturn: boolean;
  readonly start: number;
  readonly end: number;
}

const FRAME =
  /(?<![\w.$])([A-Za-z_.$][\w.$]{0,200})\+0x([0-9a-f]{1,8})\/0x([0-9a-f]{1,8})(?![0-9a-f])(?: \[(\w{1,64})(?: [0-9a-f]{8,64})?\])?/g;
const ADDRESS = /(?<![\w+/])(?:0x)?(f{3}[0-9a-f]{13})(?![\w])/g;

/** What the exception found in the program counter: the very instruction. All else on a stack are returns. */
const EXACT = /\b(?:R?IP: |pc : |PC is at |WARNING: )/;

/** The same in a trace of arm64, behind the frame (state_source_string() of arch/arm64/kernel/stacktrace.c). */
const EXACT_FRAME = /^ \(P[A-Z]*\)/;

/** Its addresses are of the kernel as it was linked, not as it ran. */
const KERNEL_OFFSET = /Kernel Offset: /;

/** The locations that a line names, from left to right. An address with its symbol behind it isn't one of its own. */
export function locationsIn(line: string): CodeLocation[] {
  if (KERNEL_OFFSET.test(line)) return [];
  const inTrace = !EXACT.test(line);
  const frames = [...line.matchAll(FRAME)].map((match): CodeLocation => {
    const [text, symbol = "", offset, size, module] = match;
    const numbers = { offset: BigInt(`0x${offset}`), size: BigInt(`0x${size}`) };
    const range = { start: match.index, end: match.index + text.length };
    const isReturn = inTrace && !EXACT_FRAME.test(line.slice(range.end));
    return { kind: "frame", symbol, ...numbers, module, isReturn, ...range };
  });
  if (frames.length > 0) return frames;
  return [...line.matchAll(ADDRESS)].map((match): CodeLocation => {
    const [text, digits] = match;
    const range = { start: match.index, end: match.index + text.length };
    const isReturn = inTrace && text.startsWith("0x") && !EXACT_FRAME.test(line.slice(range.end));
    return { kind: "address", address: BigInt(`0x${digits}`), isReturn, ...range };
  });
}
