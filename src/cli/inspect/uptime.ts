import { type Clock, dateOf, readClock } from "../../memory/system/clock.js";
import { formatTime } from "../time.js";
import { tableLines } from "./text.js";
import type { View } from "./view.js";

export const uptime: View = {
  name: "uptime",
  summary: "since when it runs, and what its clock says",

  show({ kernel }) {
    const clock = readClock(kernel);
    return {
      lines: tableLines([
        ["booted", bootText(clock)],
        ["now", momentText(clock.now)],
        ["up", spanText(clock.sinceBoot)],
      ]),
      json: () => ({
        booted: dateOf(clock.now - clock.sinceBoot)?.toISOString() ?? null,
        now: dateOf(clock.now)?.toISOString() ?? null,
        nanoseconds: String(clock.sinceBoot),
      }),
    };
  },
};

/** Of the guest's clock, in UTC. */
export const bootText = ({ now, sinceBoot }: Clock): string => momentText(now - sinceBoot);

function momentText(nanoseconds: bigint): string {
  const date = dateOf(nanoseconds);
  return date === undefined ? `${nanoseconds} ns after 1970` : `${formatTime(date)} UTC`;
}

/** As `3 days 04:05:06.78`: /proc/uptime has as many digits. */
export function spanText(nanoseconds: bigint): string {
  const hundredths = nanoseconds / 10_000_000n;
  const two = (value: bigint) => String(value).padStart(2, "0");
  const seconds = hundredths / 100n;
  const days = seconds / 86_400n;
  const day = days === 0n ? "" : `${days} ${days === 1n ? "day" : "days"} `;
  const minutes = (seconds / 60n) % 60n;
  return `${day}${two((seconds / 3600n) % 24n)}:${two(minutes)}:${two(seconds % 60n)}.${two(hundredths % 100n)}`;
}
