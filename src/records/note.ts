import { printableLine } from "./printable.js";

/** A line of our own in a guest's text: what is missing of it is said where it is missing. */
export const note = (text: string): string => `[virtio-pstore: ${printableLine(text)}]\n`;

/** What stands in a stream, or between two of its files, where something is missing. */
export const missingNote = (bytes: number): string => note(`${bytes} bytes are missing here`);

/** That parts from one number to another are missing. */
export const missingPartsNote = (one: number, other: number): string =>
  note(
    one === other
      ? `part ${one} is missing`
      : `parts ${Math.min(one, other)} to ${Math.max(one, other)} are missing`,
  );

/** A note behind text that ends with a line, or doesn't. */
export const ownLine = (text: string, newline: boolean): string => (newline ? text : `\n${text}`);

/** A guest's text with lines of our own in it, which are strings: none of them goes on a line of the guest's. */
export function* notedText(pieces: Iterable<Buffer | string>): Generator<Buffer, void, void> {
  let newline = true;
  for (const piece of pieces) {
    if (piece.length === 0) continue;
    const bytes: Buffer = typeof piece === "string" ? Buffer.from(ownLine(piece, newline)) : piece;
    yield bytes;
    newline = bytes.at(-1) === 0x0a;
  }
}
