import { type ChromeCounts, chromeTrace } from "../formats/ftrace/chrome.js";
import { warn } from "../service/errors.js";

/** A trace as a Chrome JSON trace, in pieces; at its end stderr is told what isn't in it. */
export function* chromeText(
  text: Iterable<Uint8Array>,
  guest: string,
): Generator<Uint8Array, void, void> {
  const counts: ChromeCounts = { skipped: 0, untimed: false, counted: false };
  for (const piece of chromeTrace(text, guest, counts)) yield Buffer.from(piece);
  const { skipped, untimed, counted } = counts;
  if (untimed) {
    warn(
      "the trace tells no times but how long calls took: a CPU's row holds them one after another",
    );
  }
  if (counted) warn("the trace's clock has no unit: a nanosecond stands for each of its counts");
  if (skipped > 0) warn(`${skipped} of the trace's lines weren't understood, and are left out`);
}
