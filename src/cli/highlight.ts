const code = (numbers: string) => (text: string) => `\u001b[${numbers}m${text}\u001b[0m`;

const BOLD_RED = code("1;31");
const RED = code("31");
const YELLOW = code("33");
const BOLD = code("1");
const CYAN = code("36");
const DIM = code("2");

/** syslog's level, facility and all, as a record has it before a line; then printk's time and caller. */
const PREFIX = /^(?:<([0-9]{1,4})>)?(\[ *[0-9]{1,10}\.[0-9]{6}\](?:\[ *[CT][0-9]{1,10}\])? ?)?/;

/** What a reader looks for first. */
const MATTERS =
  /^(?:Kernel panic - |Oops[:-]|BUG: |WARNING: |KASAN: |Internal error: |Unable to handle |general protection fault|divide error|INFO: .*(?:hung|blocked|stall|hang)|rcu: .*(?:stall|starved)|watchdog: BUG: )|detected stalls|self-detected stall/;

const TRACE = /^ *(?:Call [Tt]race:|<\/?(?:TASK|IRQ|NMI|SOFTIRQ)>|---\[ )/;
const FRAME = /^ *(?:\? )?[\w.$]{1,200}\+0x[0-9a-f]{1,8}\/0x/;
/** As --vmlinux adds it below a frame. */
const INLINED = /^ *\S{1,300} \(.{1,4096}\) \(inlined\)$/;
const PLACE = /^(?:RIP: |pc : |lr : |CPU: [0-9]+ |Modules linked in:|Hardware name: )/;
/** What this program says between the guest's lines. */
const OWN = /^\[virtio-pstore: .*\]$/;

/** A printable line of a log, in colours by its level and by what matters in it. */
export function highlight(line: string): string {
  if (OWN.test(line)) return BOLD_RED(line);
  const [prefix = "", level] = PREFIX.exec(line) ?? [];
  const text = line.slice(prefix.length);
  if (text === "") return line;
  return `${prefix === "" ? "" : DIM(prefix)}${colored(text, level === undefined ? 6 : Number(level) & 7)}`;
}

function colored(text: string, level: number): string {
  if (MATTERS.test(text)) return BOLD_RED(text);
  if (TRACE.test(text)) return BOLD(text);
  if (FRAME.test(text) || INLINED.test(text)) return CYAN(text);
  if (PLACE.test(text)) return BOLD(text);
  if (level < 4) return RED(text);
  return level === 4 ? YELLOW(text) : text;
}
