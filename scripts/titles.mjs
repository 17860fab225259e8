// Prints how many titles agree with those of a corpus of sample reports, that of syzkaller:
//   npm run titles -- SYZKALLER/pkg/report/testdata/linux/report [--list]
// A sample has headers (`TITLE: …`, `CORRUPTED: Y`), an empty line, and a log; a line `REPORT:` ends the log.
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readFacts } from "../dist/src/report/title/index.js";

const [directory, ...options] = process.argv.slice(2);
if (directory === undefined || !existsSync(directory)) {
  console.error("usage: npm run titles -- SYZKALLER/pkg/report/testdata/linux/report [--list]");
  process.exit(2);
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

/** Half of the samples, chosen by chance but always the same, were not looked at when the rules were made. */
const half = (name) =>
  (createHash("sha256").update(`half ${name}`).digest()[0] ?? 0) % 2 === 0 ? "seen" : "unseen";

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
          ? "x86-64 and arm64, marked as corrupted"
          : "x86-64 and arm64";
  return { name, title, group, log: log.split("\n") };
}

const counts = new Map();
let elapsedMs = 0;
let bytes = 0;
for (const name of readdirSync(directory)) {
  const { title, group, log } = sampleOf(name);
  const start = performance.now();
  const found = readFacts(log).title;
  elapsedMs += performance.now() - start;
  bytes += log.reduce((sum, line) => sum + line.length + 1, 0);
  for (const key of [half(name), "all"]) {
    const count = counts.get(`${group}/${key}`) ?? { agreed: 0, samples: 0 };
    count.samples++;
    if (found === title) count.agreed++;
    counts.set(`${group}/${key}`, count);
  }
  if (found !== title && options.includes("--list")) {
    console.log(`${name} (${group}, ${half(name)})\n  corpus: ${title}\n  ours:   ${found}`);
  }
}

const show = ({ agreed, samples } = { agreed: 0, samples: 0 }) =>
  samples === 0 ? "-" : `${agreed} of ${samples} (${((100 * agreed) / samples).toFixed(1)} %)`;
const groups = [...new Set([...counts.keys()].map((key) => key.split("/")[0] ?? ""))].sort();
console.log(
  `${"samples".padEnd(44)}${["seen", "unseen", "all"].map((k) => k.padEnd(22)).join("")}`,
);
for (const group of groups) {
  const columns = ["seen", "unseen", "all"].map((key) => show(counts.get(`${group}/${key}`)));
  console.log(
    `${group.padEnd(44)}${columns.map((column) => column.padEnd(22)).join("")}`.trimEnd(),
  );
}
console.log(`${(bytes / 1e6).toFixed(1)} MB in ${elapsedMs.toFixed(0)} ms`);
