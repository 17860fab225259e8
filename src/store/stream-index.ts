import { type RecordName, recordKey, type StreamTypeName } from "../records/record-name.js";
import {
  formatLine,
  MAX_INDEX_BYTES,
  parseLine,
  type StreamPiece,
} from "../records/stream-piece.js";
import { LineFile, type LineFileHost } from "./line-file.js";

/** Which files belong to which stream and boot, across restarts of this process. */
export class StreamIndex extends LineFile {
  /** By name, oldest first. */
  #pieces = new Map<string, StreamPiece>();
  /** The last piece of each boot and type. */
  readonly #last = new Map<string, StreamPiece>();

  /** Forgets files that aren't there any more. Throws the system call's error. */
  constructor(host: LineFileHost, path: string, isThere: (name: RecordName) => boolean) {
    super(host, path);
    const lines = this.load(MAX_INDEX_BYTES);
    for (const piece of lines.flatMap(parseLine)) this.#remember(piece);
    if (lines.length > 0) this.prune(isThere);
  }

  /** Lines in it. */
  get size(): number {
    return this.#pieces.size;
  }

  /** The file that a boot's stream goes on in. */
  last(boot: string, type: StreamTypeName): StreamPiece | undefined {
    return this.#last.get(bootKey(boot, type));
  }

  /** Undefined where the file is a stream of its own that no boot id came with. */
  get(name: Pick<RecordName, "type" | "id">): StreamPiece | undefined {
    return this.#pieces.get(recordKey(name));
  }

  /** Remembers a new file. Throws the system call's error; then it isn't remembered. */
  add(piece: StreamPiece): void {
    this.append(formatLine(piece));
    this.#remember(piece);
  }

  /** Drops the lines of all files but these. Throws the system call's error. */
  prune(isThere: (name: RecordName) => boolean): void {
    const pieces = [...this.#pieces.values()].filter(({ name }) => isThere(name));
    if (pieces.length < this.#pieces.size) this.replace(pieces.map(formatLine));
    this.#pieces.clear();
    this.#last.clear();
    for (const piece of pieces) this.#remember(piece);
  }

  #remember(piece: StreamPiece): void {
    this.#pieces.set(recordKey(piece.name), piece);
    if (piece.boot !== undefined) this.#last.set(bootKey(piece.boot, piece.name.type), piece);
  }
}

const bootKey = (boot: string, type: string): string => `${boot} ${type}`;
