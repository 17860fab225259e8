import type { Rule } from "../report.js";
import { bugRules } from "./bug.js";
import { lockingRules } from "./locking.js";
import { memoryRules } from "./memory.js";
import { oopsRules } from "./oops.js";
import { panicRules } from "./panic.js";
import { sanitizerRules } from "./sanitizers.js";
import { stallRules } from "./stalls.js";
import { warningRules } from "./warnings.js";

/** The first one that matches a line counts. */
const RULES: readonly Rule[] = [
  ...sanitizerRules,
  ...oopsRules,
  ...bugRules,
  ...lockingRules,
  ...stallRules,
  ...warningRules,
  ...memoryRules,
  ...panicRules,
];

/** A word of each rule's: most lines of a log have none of them, and are done with quickly. */
const HINT =
  /BUG|WARN|INFO|KASAN|UBSAN|[Uu]nable to handle|panic|Oops|fault|error|lock|stall|stack|int3|opcode|PANIC|LOCKUP/;

/** The rule whose report a line begins. */
export function announcedBy(text: string): { rule: Rule; match: RegExpExecArray } | undefined {
  if (!HINT.test(text)) return undefined;
  for (const rule of RULES) {
    const match = rule.announces.exec(text);
    if (match !== null) return { rule, match };
  }
  return undefined;
}
