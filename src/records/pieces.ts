import { closeSync, constants, openSync, readSync } from "node:fs";

/** Guests' files and texts are handled in pieces of so many bytes: none is too large to be shown. */
const PIECE_BYTES = 64 << 10;

/** A longer line is shown as if it were several. */
const MAX_LINE_BYTES = 64 << 10;

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;

/** A file's bytes from `from` up to `to`, or to its end where that comes first. */
export function* filePieces(path: string, from: number, to: number): Generator<Buffer, void, void> {
  const fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    let at = from;
    while (at < to) {
      const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, to - at));
      const count = readSync(fd, piece, 0, piece.length, at);
      if (count === 0) return;
      yield piece.subarray(0, count);
      at += count;
    }
  } finally {
    closeSync(fd);
  }
}

/** Bytes that are there already. */
export function* piecesOf(bytes: Buffer): Generator<Buffer, void, void> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    yield bytes.subarray(at, at + PIECE_BYTES);
  }
}

/** The same bytes in pieces that end where a line does, so that each can be decoded on its own. */
export function* linePieces(pieces: Iterable<Uint8Array>): Generator<Buffer, void, void> {
  let rest: Buffer = Buffer.alloc(0);
  for (const piece of pieces) {
    const bytes = Buffer.concat([rest, piece]);
    let end = bytes.lastIndexOf("\n") + 1;
    if (end === 0 && bytes.length >= MAX_LINE_BYTES) end = wholeCharacters(bytes);
    if (end > 0) yield bytes.subarray(0, end);
    rest = bytes.subarray(end);
  }
  if (rest.length > 0) yield rest;
}

/** Where bytes end without a UTF-8 character that goes on behind them. */
export function wholeCharacters(bytes: Uint8Array): number {
  for (let back = 1; back <= 3; back++) {
    const byte = bytes.at(-back) ?? 0;
    if (byte < 0x80) break;
    if (byte < 0xc0) continue;
    const needed = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    return needed > back ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}
