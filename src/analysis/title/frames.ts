import { rustName } from "./rust-names.js";

/** One function on a stack. */
export interface Frame {
  /** Without what compilers and linkers add to a name. */
  readonly name: string;
  /** The unwinder vouches for it: no `?` stands before it. */
  readonly certain: boolean;
}

/** `foo+0x1f/0x40`, before it perhaps an address, behind it perhaps a module or a file and line. */
const OFFSET = /^([^+]{1,512})\+0x[0-9a-f]{1,16}\/0x[0-9a-f]{1,16}(?=$|[ \])])/;
/** `foo file.c:12 [inline]`, where somebody has looked up the symbols. */
const INLINE = /^(\S{1,200}) \S{1,300}:\d{1,7} \[inline\]$/;
/** `<IRQ>`, and on the same line the first frame of it, as Linux 4.x writes. */
const CONTEXT = /^(?:<\/?[A-Z]{3,8}> {0,4})+/;
/** `foo file.c:12`, the same. */
const DECODED = /^([\w.$]{1,200}) \S{1,300}\.[chS]:\d{1,7}$/;
/** In brackets; on powerpc the stack's and the code's. On s390 the first may be in parentheses. */
const ADDRESS = /^\(?(?:\[<[0-9a-fx() ptrval]{1,24}>\] {0,2}|(?:\[[0-9a-f]{8,16}\] ){2})/;
const DOUBTED = / \(unreliable\)$/;
/** `[<address>] (foo) from [<address>] (bar+0x1/0x2)` on arm, where bar's own frame comes next. */
const FROM =
  /^(?:\[<[0-9a-f]{8}>\] )?\(?([\w.$]{1,200})(?:\+0x[0-9a-f]{1,8}\/0x[0-9a-f]{1,8})?\)? from (?:\[<|\(?[\w.$]{1,200}\+0x)/;
/** What can be a function's name. A Rust one holds spaces between its angle brackets. */
const NAME = /^(?:[A-Za-z_$.][\w$.:<>{}#, ]*|<.+>::\S+)$/;

/** The frame that a line of a trace shows; undefined where it shows none. */
export function readFrame(line: string): Frame | undefined {
  let text = line.trimStart();
  let certain = true;
  if (text.startsWith("<")) text = text.replace(CONTEXT, "");
  const callee = text.includes(" from ") ? FROM.exec(text)?.[1] : undefined;
  if (text.startsWith("(") || DOUBTED.test(text)) certain = false;
  if (text.startsWith("[") || text.startsWith("([")) text = text.replace(ADDRESS, "");
  if (text.startsWith("? ")) {
    certain = false;
    text = text.slice(2);
  }
  const name =
    callee ?? OFFSET.exec(text)?.[1] ?? INLINE.exec(text.trimEnd())?.[1] ?? DECODED.exec(text)?.[1];
  if (name === undefined || !NAME.test(name) || (name.includes(" ") && !name.startsWith("<"))) {
    return undefined;
  }
  return { name: functionName(name), certain };
}

/**
 * What GCC and Clang append to a function's name when they clone, split or promote it, and the
 * padding before a function, which the kernel calls `__pfx_`.
 */
const SUFFIX =
  /\.(?:constprop|isra|part|cold|llvm|lto_priv|clone|localalias|eh|ipa)(?:\.\d{1,20})?$/;

/** A function's name as the source has it: `foo.isra.0.cold` and `__pfx_foo` are both `foo`. */
export function functionName(symbol: string): string {
  let name = symbol;
  for (let rounds = 0; rounds < 8; rounds++) {
    const shorter = name.replace(SUFFIX, "");
    if (shorter === name) break;
    name = shorter;
  }
  // powerpc's code, as against its descriptor (ELF ABI version 1).
  if (name.startsWith(".")) name = name.slice(1);
  if (name.startsWith("__pfx_")) name = name.slice("__pfx_".length);
  return rustName(name);
}
