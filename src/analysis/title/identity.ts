/** Who ran on which kernel: `CPU: 0 PID: 92 Comm: sh Tainted: G OE 6.1.0 #1`. */
export interface Identity extends Kernel {
  readonly cpu?: number;
  /** The task's name, as /proc/PID/comm has it. */
  readonly task?: string;
  readonly pid?: number;
}

interface Kernel {
  readonly release?: string;
  /** `Tainted: G        W`'s letters, without the spaces between, and without the dashes of distributions. */
  readonly taint?: string;
}

const RELEASE = String.raw`(?<release>\d{1,3}\.\d\S{0,100})`;
const TAINT = "(?:Not tainted|Tainted: (?<taint>.{1,100}?))";
const KERNEL = String.raw`${TAINT}(?= {1,4}\d{1,3}\.\d) {1,4}${RELEASE}`;

/** dump_stack_print_info() (lib/dump_stack.c), and what there was before Linux 3.10 and is in user-mode-linux. */
const WHO = new RegExp(
  String.raw`^(?:CPU: (?<cpu>\d{1,5}) (?:UID: \d{1,10} )?PID: (?<pid>\d{1,10}) Comm: |Pid: (?<oldPid>\d{1,10}), comm: )(?<task>.{0,64}?) (?:Kdump: loaded )?${KERNEL}`,
);

/** In the kernel's first line; below a hung task's (kernel/hung_task.c); above lockdep's. */
const VERSIONS = [
  new RegExp(`^Linux version ${RELEASE} `),
  new RegExp(String.raw`^ {2,8}${KERNEL} #\d`),
  new RegExp(String.raw`^${RELEASE} #\d{1,6} ${TAINT}$`),
];

/** Each begins so: most lines are done with quickly. */
const VERSION_BEGINNING = /^(?:Linux version | {2,}(?:Not t|T)ainted|\d{1,3}\.)/;

/** What a line says of who ran; undefined for another line. */
export function readIdentity(text: string): Identity | undefined {
  if (!text.startsWith("CPU: ") && !text.startsWith("Pid: ")) return undefined;
  const of = WHO.exec(text)?.groups;
  if (of === undefined) return undefined;
  const { cpu, pid, oldPid, task = "" } = of;
  return {
    ...kernelOf(of),
    ...(cpu === undefined ? {} : { cpu: Number(cpu) }),
    task,
    pid: Number(pid ?? oldPid),
  };
}

/** What another line says of the kernel alone. */
export function readKernel(text: string): Kernel | undefined {
  if (!VERSION_BEGINNING.test(text)) return undefined;
  for (const pattern of VERSIONS) {
    const of = pattern.exec(text)?.groups;
    if (of !== undefined) return kernelOf(of);
  }
  return undefined;
}

const kernelOf = ({
  release = "",
  taint,
}: Readonly<Record<string, string | undefined>>): Kernel => ({
  release,
  ...(taint === undefined ? {} : { taint: taint.replace(/[ -]/g, "") }),
});
