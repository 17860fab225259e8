// Prints how many titles agree with those of a corpus of sample reports, that of syzkaller:
//   npm run titles -- SYZKALLER [--list]
// A sample has headers (`TITLE: …`, `CORRUPTED: Y`), an empty line, and a log; a line `REPORT:` ends the log.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { readFacts } from "../dist/src/analysis/title/index.js";

/** Where the samples lie in syzkaller's repository; any folder on the way to them will do. */
const SAMPLES = ["pkg", "report", "testdata", "linux", "report"];
const SAMPLE_NAME = /^\d+$/;

const USAGE = `usage: npm run titles -- SYZKALLER [--list]

Compares titles with those of the sample reports in a checkout of syzkaller's repository; --list prints
those that differ. Takes some seconds.`;
const [given, ...options] = process.argv.slice(2);
if (given === "--help" || given === "-h") {
  console.log(USAGE);
  process.exit(0);
}
const isUnknown = options.some((option) => option !== "--list");
if (given === undefined || given.startsWith("-") || isUnknown) fail(USAGE);
const directory = samplesIn(given);
if (directory === undefined) {
  fail(
    `${given}: no samples there or in ${SAMPLES.join("/")}: give a checkout of syzkaller's repository`,
  );
}

function samplesIn(folder) {
  return SAMPLES.concat("")
    .map((_, skipped) => join(folder, ...SAMPLES.slice(skipped)))
    .find((path) => {
      const isDirectory = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
      return isDirectory && readdirSync(path).some((name) => SAMPLE_NAME.test(name));
    });
}

function fail(message) {
  console.error(message);
  process.exit(1);
}

/** What only the reports of other architectures hold. */
const OTHER_ARCHITECTURES = {
  "arm (32 bits)":
    /\) from \[<|\) from \(|\]\s+(?:SMP|PREEMPT) ARM\b|\bSMP ARM$|\bPC is at .*\n.*\bpsr/m,
  "x86 (32 bits)": /\bEIP: /,
  powerpc: /\bNIP \[|\[c[0-9a-f]{15}\] \[c[0-9a-f]{15}\]/,
  s390: /\bKrnl PSW\b/,
  mips: /\bepc\s+: [0-9a-f]{8,16} \S+\+0x|\$ 0 {3}:/,
  i386: /\bi386_start_kernel\b/,
  riscv: /\bgp : ffff|\bepc : /,
  loongarch: /\bera: |\bera *: /,
};

/** Where our titles differ on purpose: each makes the corpus's title of ours, if it is such a case. */
const ON_PURPOSE = {
  "keep a number that tells what failed": (ours) =>
    ours
      .replace(/unknown-block\(\d+,\d+\)/, "unknown-block(NUM,NUM)")
      .replace(/ exitcode=0x[0-9a-f]{8}$/, ""),
  "name a function where it finds nobody": (ours) => ours.replace(/ in \S+$/, " in corrupted"),
};

const WHOLE = "x86-64 and arm64, whole";
const CORRUPTED = "x86-64 and arm64, marked as corrupted";

function sampleOf(name) {
  const text = readFileSync(join(directory, name), "latin1");
  const headersEnd = text.indexOf("\n\n");
  const headers = text.slice(0, headersEnd);
  const [log = ""] = text.slice(headersEnd + 2).split(/^REPORT:$/m, 1);
  const title = /^TITLE: ?(.*)$/m.exec(headers)?.[1] ?? "";
  const other = Object.entries(OTHER_ARCHITECTURES).find(([, pattern]) => pattern.test(log));
  const group =
    other !== undefined
      ? `of other architectures: ${other[0]}`
      : title === ""
        ? "in which there is no report"
        : /^CORRUPTED: Y$/m.test(headers)
          ? CORRUPTED
          : WHOLE;
  return { name, title, group, log: log.split("\n") };
}

const counts = new Map();
const onPurpose = new Map(Object.keys(ON_PURPOSE).map((words) => [words, 0]));
let elapsedMs = 0;
let bytes = 0;
for (const name of readdirSync(directory).filter((name) => SAMPLE_NAME.test(name))) {
  const { title, group, log } = sampleOf(name);
  const start = performance.now();
  const found = readFacts(log).title;
  elapsedMs += performance.now() - start;
  bytes += log.reduce((sum, line) => sum + line.length + 1, 0);
  const count = counts.get(group) ?? { agreed: 0, samples: 0 };
  count.samples++;
  if (found === title) count.agreed++;
  const purpose =
    found !== title &&
    Object.entries(ON_PURPOSE).find(([, toCorpus]) => toCorpus(found) === title)?.[0];
  const isCounted = group === WHOLE || group === CORRUPTED;
  if (purpose && isCounted) onPurpose.set(purpose, onPurpose.get(purpose) + 1);
  counts.set(group, count);
  if (found !== title && options.includes("--list")) {
    console.log(
      `${name} (${purpose ? `${group}, on purpose` : group})\n  corpus: ${title}\n  ours:   ${found}`,
    );
  }
}

const sum = (groups) =>
  groups.reduce(
    (total, group) => {
      const { agreed, samples } = counts.get(group) ?? { agreed: 0, samples: 0 };
      return { agreed: total.agreed + agreed, samples: total.samples + samples };
    },
    { agreed: 0, samples: 0 },
  );
const show = (words, groups) => {
  const { agreed, samples } = sum(groups);
  const share = samples === 0 ? "" : ` (${((100 * agreed) / samples).toFixed(1)} %)`;
  console.log(`${words.padEnd(44)}${agreed} of ${samples}${share}`);
};
show("x86-64 and arm64", [WHOLE, CORRUPTED]);
show("  without those marked as corrupted", [WHOLE]);
for (const [words, samples] of onPurpose) {
  console.log(`${`  differ on purpose: ${words}`.padEnd(60)}${samples}`);
}
for (const group of [...counts.keys()].sort()) {
  if (group !== WHOLE && group !== CORRUPTED) show(group, [group]);
}
console.log(`${(bytes / 1e6).toFixed(1)} MB in ${elapsedMs.toFixed(0)} ms`);
