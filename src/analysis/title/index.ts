import { blamed } from "./blame.js";
import { CrashFinder } from "./crash.js";
import { type Identity, readIdentity, readKernel } from "./identity.js";
import { readLines } from "./lines.js";
import type { Report } from "./report.js";
import { signatureOf } from "./signature.js";
import { titleOf } from "./title.js";
import { framesOf } from "./traces.js";

/** What a log says about the crash that it ends in. */
export interface LogFacts extends Identity {
  /**
   * In syzkaller's manner; empty where there is no report. At most 256 characters that the guest has
   * chosen, control characters among them: escape it.
   */
  readonly title: string;
  /**
   * 16 hexadecimal digits, the same for the same bug; empty where there is no report, or where it doesn't show
   * whom it is about: two of these needn't be one bug.
   */
  readonly signature: string;
  /** panic, oops, bug, warning, kasan, hung-task, …; empty where there is no report. */
  readonly kind: string;
  /** The functions of the trace that matters, innermost first, without those that report; at most 64. */
  readonly frames: readonly string[];
}

/**
 * Reads what a dump's or a console's lines say about the crash: its title, the signature by which the
 * same bug is known again, and who ran where. Lines may have `<level>`, `[time]` and `[caller]` before
 * them. The time that it takes grows with the text's length, the memory doesn't.
 */
export function readFacts(lines: Iterable<string>): LogFacts {
  const finder = new CrashFinder();
  let kernel: Identity = {};
  let lastIdentity: Identity | undefined;
  for (const raw of lines) {
    for (const line of readLines(raw)) {
      kernel = readKernel(line.text) ?? kernel;
      lastIdentity = readIdentity(line.text) ?? lastIdentity;
      finder.push(line);
    }
  }
  const { crash } = finder;
  const identity = {
    ...kernel,
    ...(crash?.identity ?? lastIdentity),
    ...(crash === undefined ? {} : announcedTask(crash.report)),
  };
  if (crash === undefined) return { title: "", signature: "", kind: "", frames: [], ...identity };
  const { report } = crash;
  const { title, isTelling } = titleOf(report, blamed(report));
  return {
    title,
    signature: isTelling ? signatureOf(title) : "",
    kind: report.rule.kind,
    frames: framesOf(report),
    ...identity,
  };
}

/** The task that a report's first line says it is about: its `CPU: … PID: …` line may be that of who found out. */
function announcedTask({ match }: Report): Pick<Identity, "task" | "pid"> {
  const { task, pid } = match.groups ?? {};
  return task === undefined ? {} : { task, pid: Number(pid) };
}
