import { type RecordName, recordKey, type StreamTypeName } from "../records/record-name.js";
import {
  formatLine,
  MAX_INDEX_BYTES,
  parseLine,
  type StreamSegment,
} from "../records/stream-segment.js";
import { LineFile, type LineFileHost } from "./line-file.js";

/** Which files belong to which stream and boot, across restarts of this process. */
export class StreamIndex extends LineFile {
  /** By name, oldest first. */
  #segments = new Map<string, StreamSegment>();
  /** The last segment of each boot and type. */
  readonly #last = new Map<string, StreamSegment>();

  /** Forgets files that aren't there any more. Throws the system call's error. */
  constructor(host: LineFileHost, path: string, isThere: (name: RecordName) => boolean) {
    super(host, path);
    const lines = this.load(MAX_INDEX_BYTES);
    for (const segment of lines.flatMap(parseLine)) this.#remember(segment);
    if (lines.length > 0) this.prune(isThere);
  }

  /** Lines in it. */
  get size(): number {
    return this.#segments.size;
  }

  /** The file that a boot's stream goes on in. */
  last(boot: string, type: StreamTypeName): StreamSegment | undefined {
    return this.#last.get(bootKey(boot, type));
  }

  /** Undefined where the file is a stream of its own that no boot id came with. */
  get(name: Pick<RecordName, "type" | "id">): StreamSegment | undefined {
    return this.#segments.get(recordKey(name));
  }

  /** Remembers a new file. Throws the system call's error; then it isn't remembered. */
  add(segment: StreamSegment): void {
    this.append(formatLine(segment));
    this.#remember(segment);
  }

  /** Drops the lines of all files but these. Throws the system call's error. */
  prune(isThere: (name: RecordName) => boolean): void {
    const segments = [...this.#segments.values()].filter(({ name }) => isThere(name));
    if (segments.length < this.#segments.size) this.replace(segments.map(formatLine));
    this.#segments.clear();
    this.#last.clear();
    for (const segment of segments) this.#remember(segment);
  }

  #remember(segment: StreamSegment): void {
    this.#segments.set(recordKey(segment.name), segment);
    if (segment.boot !== undefined)
      this.#last.set(bootKey(segment.boot, segment.name.type), segment);
  }
}

const bootKey = (boot: string, type: string): string => `${boot} ${type}`;
