import { InvalidArgumentError } from "commander";

const UNITS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** RFC 3339's date-time; all behind the day, the seconds and the zone may be left out. */
const MOMENT =
  /^(?<day>[0-9]{4}-[0-9]{2}-[0-9]{2})(?:[ T](?<minute>(?:[01][0-9]|2[0-3]):[0-9]{2})(?<second>:[0-9]{2}(?<fraction>\.[0-9]{1,99})?)?(?<zone>Z|[+-][0-9]{2}:[0-9]{2})?)?$/;

/** Each at the number of days that it is before this one. */
const NAMED_DAYS = ["today", "yesterday"];

/**
 * A moment as `2026-11-22`, `2026-11-22 04:42[:16]` (UTC, as list tells it), RFC 3339's
 * `2026-11-22T04:42:16+02:00`, `today` or `yesterday` (UTC), or so long ago: `90m`, `2d`.
 */
export const parseTime = (text: string): Date => parseSpan(text).first;

/** The last moment of the day, minute or second that is named. */
export const parseUntil = (text: string): Date => parseSpan(text).last;

function parseSpan(text: string): { first: Date; last: Date } {
  const ago = /^([0-9]{1,6})([smhdw])$/.exec(text);
  if (ago !== null) {
    const time = new Date(Date.now() - Number(ago[1]) * (UNITS[ago[2] ?? ""] ?? 0));
    return { first: time, last: time };
  }
  const { day = "?", minute, second, fraction, zone } = MOMENT.exec(written(text))?.groups ?? {};
  // Date knows no leap second, which is taken for the second before it.
  const time = `${minute ?? "00:00"}${second?.replace(":60", ":59") ?? ""}${zone ?? "Z"}`;
  const first = new Date(`${day}T${time}`);
  if (!isDay(day) || Number.isNaN(first.getTime())) {
    throw new InvalidArgumentError(
      "A time is 2026-11-22, '2026-11-22 04:42' (UTC), 2026-11-22T04:42:16+02:00, today, yesterday, " +
        "or how long ago: 90m, 12h, 2d, 3w.",
    );
  }
  const unit = minute === undefined ? "d" : second === undefined ? "m" : "s";
  const ms = fraction === undefined ? (UNITS[unit] ?? 1) : 1;
  return { first, last: new Date(first.getTime() + ms - 1) };
}

/** A named day by its date; RFC 3339's small t and z as Date reads them. */
function written(text: string): string {
  const daysBefore = NAMED_DAYS.indexOf(text);
  if (daysBefore < 0) return text.toUpperCase();
  return new Date(Date.now() - daysBefore * 86_400_000).toISOString().slice(0, 10);
}

/** Date takes 31 February for 3 March. */
function isDay(day: string): boolean {
  const midnight = new Date(`${day}T00:00Z`);
  return !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(day);
}

/** How long ago, in its largest unit. */
export function formatAge(time: Date): string {
  const ms = Math.max(0, Date.now() - time.getTime());
  const unit = ["d", "h", "m"].find((one) => ms >= (UNITS[one] ?? 1)) ?? "s";
  return `${Math.floor(ms / (UNITS[unit] ?? 1))}${unit}`;
}

/** In UTC, to the second. */
export const formatTime = (time: Date): string => time.toISOString().replace("T", " ").slice(0, 19);
