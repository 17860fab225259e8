import { parseHeader, type RecordHeader } from "../records/index.js";
import { missingPartsNote } from "../records/note.js";
import { linePieces } from "../records/pieces.js";

/** A part's text in a file in which somebody put several together, as `cat *` and systemd-pstore do. */
interface Section {
  readonly header: RecordHeader;
  /** Where its text begins, behind its header. */
  readonly from: number;
  to: number;
}

/** More than a dump has parts; what is behind so many is the last one's text. */
const MAX_SECTIONS = 1000;

const MARK = " Part";
const LINE_END = 0x0a;

/** A header's reason begins with a capital. */
const isCapital = (byte: number | undefined): boolean =>
  byte !== undefined && byte >= 0x41 && byte <= 0x5a;

/** The parts in a text, of which `first` is the header before it. */
export class PutTogether {
  /** Those of one dump, oldest first; the dumps as they lie there. */
  readonly #dumps: Section[][];

  constructor(first: RecordHeader, text: Iterable<Uint8Array>) {
    this.#dumps = dumpsOf(sectionsIn(first, text));
  }

  /** Of the last dump, with the number of its newest part. */
  get header(): RecordHeader {
    const newest = this.#dumps.at(-1)?.at(-1);
    if (newest === undefined) throw new RangeError("a text has one part at least");
    return newest.header;
  }

  /** How long the headers in the text are. */
  get headerBytes(): number {
    const all = this.#dumps.flat();
    const end = Math.max(...all.map(({ to }) => to));
    return end - all.reduce((sum, { from, to }) => sum + to - from, 0);
  }

  /** The parts' text, oldest first, with notes of ours where parts are missing before one that is there. */
  *text(
    read: (from: number, to: number) => Iterable<Buffer>,
  ): Generator<Buffer | string, void, void> {
    for (const parts of this.#dumps) {
      let expected: number | undefined;
      for (const { header, from, to } of parts) {
        if (expected !== undefined && header.part < expected) {
          yield missingPartsNote(header.part + 1, expected);
        }
        yield* read(from, to);
        expected = header.part - 1;
      }
      const isLast = parts === this.#dumps.at(-1);
      if (!isLast && expected !== undefined && expected > 0) yield missingPartsNote(1, expected);
    }
  }
}

function sectionsIn(first: RecordHeader, text: Iterable<Uint8Array>): Section[] {
  let last: Section = { header: first, from: 0, to: 0 };
  const sections = [last];
  let at = 0;
  let isLineStart = true;
  for (const piece of linePieces(text)) {
    for (const { header, from, bytes } of headersIn(piece, isLineStart)) {
      if (sections.length === MAX_SECTIONS) break;
      last.to = at + from;
      last = { header, from: at + from + bytes, to: 0 };
      sections.push(last);
    }
    at += piece.length;
    isLineStart = piece.at(-1) === LINE_END;
  }
  last.to = at;
  return sections;
}

function* headersIn(lines: Buffer, isLineStart: boolean) {
  let mark = lines.indexOf(MARK);
  while (mark >= 0) {
    const from = lines.lastIndexOf(LINE_END, mark) + 1;
    const isHere = (from > 0 || isLineStart) && isCapital(lines[from]);
    const parsed = isHere ? parseHeader(lines.subarray(from)) : undefined;
    if (parsed !== undefined) yield { ...parsed, from };
    const next = lines.indexOf(LINE_END, mark);
    mark = next < 0 ? -1 : lines.indexOf(MARK, next);
  }
}

/** `cat *` may put the parts of two dumps in turns: a part is of the newest dump of its reason and count that lacks it. */
function dumpsOf(sections: readonly Section[]): Section[][] {
  const dumps: Section[][] = [];
  for (const section of sections) {
    const { reason, count, part } = section.header;
    const dump = dumps.findLast(
      ([one]) => one?.header.reason === reason && one.header.count === count,
    );
    if (dump === undefined || dump.some(({ header }) => header.part === part)) {
      dumps.push([section]);
    } else {
      dump.push(section);
    }
  }
  for (const dump of dumps) dump.sort((a, b) => b.header.part - a.header.part);
  return dumps;
}
