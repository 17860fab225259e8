/** What stands before a message where dmesg, journald or syslog put a date there instead of the time since boot. */
export interface Clock {
  /** Characters before the message. */
  readonly length: number;
  /** Good for differences within a month; 0 where it isn't told. */
  readonly seconds: number;
  /** Whether the kernel wrote the message, and no program. */
  readonly isKernel: boolean;
}

const MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec";
const MONTH = "(?<name>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)";
const DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)";
const TIME = String.raw`(?<hour>\d\d):(?<minute>\d\d):(?<second>\d\d)`;
const DATE = String.raw`\d{4}-(?<month>\d\d)-(?<day>\d\d)`;
const ZONE = String.raw`(?:Z|[+-]\d\d:?\d\d)`;
const PART = String.raw`\.\d{1,9}`;

/** `dmesg -T`, `dmesg --time-format iso` and `dmesg -H`, with `-x` the facility and level before it. */
const DMESG = [
  String.raw`\[${DAY} ${MONTH} {1,2}(?<day>\d{1,2}) ${TIME} \d{4}\] ?`,
  String.raw`${DATE}T${TIME},\d{6}${ZONE} `,
  String.raw`\[(?: {0,10}\+\d{1,10}\.\d{6}|[A-Z][a-z]{2} ?\d{1,2} \d\d:\d\d)\] ?`,
].map((pattern) => new RegExp(String.raw`^(?:\w{1,8} {0,6}:\w{1,8} {0,6}: )?${pattern}`));

/** journalctl's formats, of which `short` is syslog's, too; then the host, and who wrote it. */
const JOURNAL = [
  String.raw`${MONTH} {1,2}(?<day>\d{1,2}) ${TIME}(?:${PART})?`,
  `${DATE}T${TIME}(?:${PART})?${ZONE}`,
  String.raw`${DAY} ${DATE} ${TIME}(?:${PART})? (?:[A-Z]{1,5}|[+-]\d\d)`,
  String.raw`(?<second>\d{9,11})${PART}`,
].map(
  (pattern) =>
    new RegExp(
      String.raw`^${pattern} [^\s:]{1,255} (?:[a-z]\w{1,8}\.[a-z]\w{1,8} )?(?<program>[^\s:[]{1,255})(?:\[\d{1,10}\])?: `,
    ),
);

/** Each begins so. */
const BEGINNING = /^(?:\[[ A-Z]|[A-Z][a-z]{2} |\d{4}|[a-z]{1,8} {0,6}:)/;

/** The date before a line's message; undefined where there is none. */
export function readClock(line: string): Clock | undefined {
  if (!BEGINNING.test(line)) return undefined;
  for (const pattern of [...DMESG, ...JOURNAL]) {
    const match = pattern.exec(line);
    if (match === null) continue;
    const { program = "kernel" } = match.groups ?? {};
    return {
      length: match[0].length,
      seconds: secondsOf(match.groups ?? {}),
      isKernel: program === "kernel",
    };
  }
  return undefined;
}

/** Every month counts 31 days: there is only asked how far apart lines are that are close to each other. */
function secondsOf(of: Readonly<Record<string, string | undefined>>): number {
  const { name, month, day = "0", hour = "0", minute = "0", second = "0" } = of;
  const months = name === undefined ? Number(month ?? 0) : MONTHS.indexOf(name) / name.length;
  return (
    (((months * 31 + Number(day)) * 24 + Number(hour)) * 60 + Number(minute)) * 60 + Number(second)
  );
}
