/** Who ran on which kernel: `CPU: 0 PID: 92 Comm: sh Tainted: G OE 6.1.0 #1`. */
export interface Identity {
  readonly release?: string;
  /** `Tainted: G        W`'s letters, without the spaces between. */
  readonly taint?: string;
  readonly cpu?: number;
  /** The task's name, as /proc/PID/comm has it. */
  readonly task?: string;
  readonly pid?: number;
}

const CPU =
  /^CPU: (\d{1,5}) (?:UID: \d{1,10} )?PID: (\d{1,10}) Comm: (.{0,64}?) (?:Not tainted|(Tainted): (.{1,100}?))(?= {1,2}\d{1,3}\.\d) {1,2}(\d{1,3}\.\d\S{0,100})/;
const VERSION = /^Linux version (\d{1,3}\.\d\S{0,100}) /;

/** What dump_stack_print_info() says (lib/dump_stack.c); undefined for another line. */
export function readIdentity(text: string): Identity | undefined {
  if (!text.startsWith("CPU: ")) return undefined;
  const match = CPU.exec(text);
  if (match === null) return undefined;
  const [, cpu, pid, task = "", tainted, letters = "", release = ""] = match;
  return {
    release,
    cpu: Number(cpu),
    task,
    pid: Number(pid),
    ...(tainted === undefined ? {} : { taint: letters.replaceAll(" ", "") }),
  };
}

/** The release in the kernel's first line. */
export function readVersion(text: string): string | undefined {
  return text.startsWith("Linux version ") ? VERSION.exec(text)?.[1] : undefined;
}
