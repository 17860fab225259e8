import type { Rule } from "../rule.js";
import { bugRules } from "./bug.js";
import { hangRules } from "./hangs.js";
import { lockingRules } from "./locking.js";
import { memoryRules } from "./memory.js";
import { oopsRules } from "./oops.js";
import { otherRules } from "./other.js";
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
  ...hangRules,
  ...warningRules,
  ...memoryRules,
  ...panicRules,
  ...otherRules,
];

/** One of these is in every line that a rule matches: most lines of a log are done with quickly. */
const HINT =
  /BUG|WARNING|INFO: |UBSAN|panic|PANIC|Oops|[Uu]nable to handle|Unhandled fault|SError|CFI failure|ilc:|Internal error|(?:protection|double) fault|divide|int3: |opcode: |stack (?:segment|guard|overflow)|LOCKUP|lock(?:ing | state|up| order| inversion)|blocked (?:for|in)|waiting for|VFS: |hung: /;

/** The rule whose report a line begins. */
export function announcedBy(text: string): { rule: Rule; match: RegExpExecArray } | undefined {
  if (!HINT.test(text)) return undefined;
  for (const rule of RULES) {
    const match = rule.announces.exec(text);
    if (match !== null) return { rule, match };
  }
  return undefined;
}
