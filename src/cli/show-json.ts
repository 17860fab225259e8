import { type Crash, dumpText, factsOf } from "../analysis/index.js";
import { linePieces, printable, printableJson } from "../records/index.js";
import { crashJson } from "./crash-json.js";
import type { CrashesAt } from "./crashes-at.js";

/** A crash as JSON: what list tells of it, the trace's functions, and its log, written as it is read. */
export async function showJson(
  at: CrashesAt,
  crash: Crash,
  write: (text: string) => Promise<boolean>,
): Promise<void> {
  const { frames } = factsOf(crash);
  const facts = { ...crashJson(crash, at.facts(crash)), frames };
  // All but the closing brace, and then one more field, whose text may be too long for one string.
  if (!(await write(`${printableJson(facts, 2).slice(0, -2)},\n  "log": "`))) return;
  for (const piece of linePieces(dumpText(crash.dump))) {
    if (!(await write(JSON.stringify(printable(piece)).slice(1, -1)))) return;
  }
  await write(`"\n}\n`);
}
