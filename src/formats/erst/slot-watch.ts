import type { RateLimiter } from "../../store/index.js";
import { slotKey } from "./copied.js";
import { HEADER, HEADER_BYTES } from "./cper.js";
import { ErstFile, type ErstSlot, parseSlot } from "./erst-file.js";
import type { ErstHeader } from "./header.js";

/** A slot as it was read: twice, with the same bytes. */
export interface ReadSlot extends ErstSlot {
  /** The record's; of a damaged slot all, where it has no length either. */
  readonly bytes: Buffer;
  readonly key: string;
  /** It was offered before, with these bytes, and not taken. */
  readonly again: boolean;
}

/** A slot as it was found before. While its header is the same, it is not read again until its turn comes. */
interface Known {
  readonly id: bigint;
  readonly head: Buffer;
  readonly key: string;
  /** `damaged`: found so for the first time; it may be being written over. */
  readonly state: "damaged" | "refused" | "taken";
}

/** A slot that is to be read. */
interface Due {
  readonly index: number;
  readonly id: bigint;
  readonly head: Buffer;
  /** What is known of it, if its header is as it was. */
  readonly known: Known | undefined;
  /** It costs the guest nothing, unless there is something new in it. */
  readonly free: boolean;
}

/** Slots that the next look has to look at again. */
export interface Left {
  /** The guest writes faster than is read. */
  readonly late: number;
  /** They may be being written at this moment. */
  readonly busy: number;
}

/** How long a slot's record says it is; all of the slot where that can't be. */
function lengthIn(head: Buffer, recordSize: number): number {
  const length = head.readUInt32LE(HEADER.recordLength);
  return length < HEADER_BYTES || length > recordSize ? recordSize : length;
}

/**
 * Looks at an ERST file again and again, and reads the slots that changed, as far as the guest's rate
 * allows: a guest writes its memory faster than a host can read it. Beyond what changed one slot is read
 * with each look, in turn: its record may have changed and its header not, or what was refused may be
 * taken now.
 */
export class SlotWatch {
  readonly #path: string;
  readonly #limiter: RateLimiter;
  readonly #isTaken: (key: string) => boolean;
  /** By slot. */
  #known = new Map<number, Known>();
  #turn = 0;
  /** What is there when this process starts is read once at any rate, to know what was taken. */
  #first = true;
  /** One that was refused was taken: the others may be, too. */
  #retry = false;

  /** `limiter`: all records count as dmesg. `isTaken`: what needn't be offered, by its key. */
  constructor(path: string, limiter: RateLimiter, isTaken: (key: string) => boolean) {
    this.#path = path;
    this.#limiter = limiter;
    this.#isTaken = isTaken;
  }

  /** Of what was found last. */
  get keys(): string[] {
    return [...this.#known.values()].map(({ key }) => key);
  }

  /**
   * Offers what is new, in the order of the ids; `take` says whether that was taken. A damaged slot is
   * offered when the next look finds it the same. Throws ErstError, and the system call's error.
   */
  look(take: (slot: ReadSlot) => boolean): Left {
    const file = new ErstFile(this.#path);
    try {
      const header = file.header();
      if (header === undefined) return { late: 0, busy: 0 };
      const due = this.#due(file, header);
      this.#first = false;
      this.#retry = false;
      const left = { late: 0, busy: 0 };
      for (const one of due) {
        const found = this.#read(file, header, one, take);
        if (found === "late") {
          left.late++;
          continue;
        }
        if (found === "busy") this.#known.delete(one.index);
        else this.#known.set(one.index, found);
        if (found === "busy" || found.state === "damaged") left.busy++;
      }
      return left;
    } finally {
      file.close();
    }
  }

  /**
   * The slots whose records were taken and are still there, for the caller to free: read anew, because
   * the guest may have written since, also with the same header.
   */
  takeUnchanged(file: ErstFile): Pick<ErstSlot, "index" | "id">[] {
    const header = file.header();
    if (header === undefined) return [];
    const found = [...file.ids(header)].filter(([index, id]) => {
      const known = this.#known.get(index);
      if (known?.id !== id || !this.#isTaken(known.key)) return false;
      const length = lengthIn(known.head, header.recordSize);
      const bytes = file.read({ offset: index * header.recordSize }, 0, length);
      this.#known.delete(index);
      return slotKey(id, bytes) === known.key;
    });
    return found.map(([index, id]) => ({ index, id }));
  }

  /** Finds what has to be read, and forgets all else that isn't as it was. */
  #due(file: ErstFile, header: ErstHeader): Due[] {
    const before = this.#known;
    this.#known = new Map();
    const ids = file.ids(header);
    const indexes = [...ids.keys()];
    this.#turn = indexes.find((index) => index > this.#turn) ?? indexes[0] ?? 0;
    const due: Due[] = [];
    for (const [index, id] of ids) {
      const head = file.read({ offset: index * header.recordSize }, 0, HEADER_BYTES);
      const found = before.get(index);
      const known = found?.id === id && found.head.equals(head) ? found : undefined;
      if (known !== undefined) this.#known.set(index, known);
      const turn = known !== undefined && index === this.#turn && known.state !== "damaged";
      const again = known?.state === "damaged" || (known?.state === "refused" && this.#retry);
      if (known !== undefined && !turn && !again) continue;
      due.push({ index, id, head, known, free: this.#first || turn });
    }
    return due.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : a.index - b.index));
  }

  #read(
    file: ErstFile,
    { recordSize }: ErstHeader,
    { index, id, head, known, free }: Due,
    take: (slot: ReadSlot) => boolean,
  ): Known | "late" | "busy" {
    const offset = index * recordSize;
    const length = lengthIn(head, recordSize);
    if (!free && !this.#limiter.take("dmesg", length)) return "late";
    const bytes = file.read({ offset }, 0, length);
    const key = slotKey(id, bytes);
    const found = { id, head: Buffer.from(bytes.subarray(0, HEADER_BYTES)), key };
    if (this.#isTaken(key)) return { ...found, state: "taken" };
    const isWhole = lengthIn(bytes, recordSize) === length;
    if (!isWhole || !bytes.equals(file.read({ offset }, 0, length))) return "busy";
    const before = known?.key === key ? known.state : undefined;
    const again = before === "refused";
    if (free && !again && !this.#limiter.take("dmesg", length)) return "late";
    const slot = parseSlot({ index, id, offset }, bytes);
    if (slot.record === undefined && before === undefined) return { ...found, state: "damaged" };
    const taken = take({ ...slot, bytes, key, again });
    if (taken && again) this.#retry = true;
    return { ...found, state: taken ? "taken" : "refused" };
  }
}
