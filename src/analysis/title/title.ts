import { functionName } from "./frames.js";
import type { Report } from "./report.js";

export const MAX_TITLE_CHARS = 256;

/** What syzkaller writes where a report doesn't show whom it is about. */
const UNKNOWN = "corrupted";

/** Which root device isn't there says what is wrong: no disk, or none with that partition. */
const DEVICE = /(unknown-block\(\d{1,4},\d{1,8}\))/;

/** What differs from boot to boot, as syzkaller writes it; digits behind a letter belong to a name, as in EXT4-fs. */
const withoutNumbers = (text: string): string =>
  text
    .split(DEVICE)
    .map((part, index) => (index % 2 === 0 ? numbersOut(part) : part))
    .join("");

const numbersOut = (text: string): string =>
  text
    .replace(/\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/gi, "UUID")
    .replace(/\b(?:0x)?[0-9a-f]{8,16}\b/g, "ADDR")
    .replace(/(?<![a-zA-Z0-9])(?:0x[0-9a-f]+|\d+)/g, "NUM");

const FUNCTION = /([\w.$]{1,200})\+0x[0-9a-f]{1,16}\/0x[0-9a-f]{1,16}/;

/** What the first line says by itself, of a report that was cut off behind it. */
const firstLine = (line: string): string =>
  line
    .replace(/^\[ (.{1,200}) \]$/, "$1")
    .replace(/^BUG: (?=[A-Z]{3,8}: )/, "")
    .split(FUNCTION)
    .map((part, index) => (index % 2 === 0 ? withoutNumbers(part) : functionName(part)))
    .join("");

/** An ellipsis at its end is no part of a title. */
const trimmed = (title: string): string =>
  title.slice(0, MAX_TITLE_CHARS).replace(/[ .]{0,8}$/, "");

export interface Title {
  readonly title: string;
  /** Whether it tells this bug from others: it names the function that the rule asks for. */
  readonly isTelling: boolean;
}

/** A report's title, from its rule's template. */
export function titleOf({ rule, match, lines }: Report, blamed: string | undefined): Title {
  const { detail } = rule;
  const found =
    detail && lines.map((line) => detail.exec(line)?.[1]).find((word) => word !== undefined);
  const isCut = detail ? found === undefined : rule.blame === "lock" && blamed === undefined;
  if (isCut) {
    return { title: trimmed(firstLine(match.input)), isTelling: FUNCTION.test(match.input) };
  }
  const words: Readonly<Record<string, string>> = {
    frame: blamed ?? UNKNOWN,
    where: blamed === undefined ? "" : `in ${blamed}`,
    detail: found ?? "",
    text: withoutNumbers(match[1] ?? ""),
  };
  const title = rule.title.replace(
    / ?\$(\d)| ?\{(\w+)\}/g,
    (place, digit: string | undefined, word: string) => {
      const value = digit === undefined ? words[word] : match[Number(digit)];
      return value ? `${place.startsWith(" ") ? " " : ""}${value}` : "";
    },
  );
  return { title: trimmed(title), isTelling: rule.blame === undefined || blamed !== undefined };
}
