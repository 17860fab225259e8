import type { Report } from "./report.js";

export const MAX_TITLE_CHARS = 256;

/** What syzkaller writes where a report doesn't show whom it is about. */
const UNKNOWN = "corrupted";

/** What differs from boot to boot, as syzkaller writes it. */
const withoutNumbers = (text: string): string =>
  text
    .replace(/\b(?:0x)?[0-9a-f]{8,16}\b/g, "ADDR")
    .replace(/0x[0-9a-f]+|\d+/g, "NUM")
    .trimEnd();

/** A report's title, from its rule's template. */
export function titleOf({ rule, match, lines }: Report, blamed: string | undefined): string {
  const { detail } = rule;
  const found =
    detail && lines.map((line) => detail.exec(line)?.[1]).find((word) => word !== undefined);
  return rule.title
    .replace(/ ?\$(\d)| ?\{(\w+)\}/g, (place, digit: string | undefined, word: string) => {
      const value =
        digit !== undefined
          ? (match[Number(digit)] ?? "")
          : word === "frame"
            ? (blamed ?? UNKNOWN)
            : word === "detail"
              ? (found ?? "")
              : withoutNumbers(match[1] ?? "");
      return value === "" ? "" : `${place.startsWith(" ") ? " " : ""}${value}`;
    })
    .slice(0, MAX_TITLE_CHARS);
}
