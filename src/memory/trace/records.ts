import type { Notes } from "../kernel/index.js";
import type { CpuBuffer, RingBuffer } from "./ring-buffer.js";
import { eventsIn, missedBefore, type PageLayout } from "./ring-page.js";

/** One event of a trace. */
export interface TraceRecord {
  readonly cpu: number;
  /** In the instance's clock. */
  readonly time: bigint;
  readonly data: Buffer;
  /** Events were lost on that CPU before this one; how many, where that was stored. */
  readonly lost?: { readonly count: bigint | undefined } | undefined;
}

/** A CPU's events, the oldest first, with one event known in advance. */
export class CpuRecords {
  readonly cpu: number;
  readonly #records: Iterator<TraceRecord, void, void>;
  #next: TraceRecord | undefined;

  constructor(buffer: CpuBuffer, layout: PageLayout, notes: Notes) {
    this.cpu = buffer.cpu;
    this.#records = recordsOf(buffer, layout, notes);
    this.#advance();
  }

  /** The next event, which stays. */
  get next(): TraceRecord | undefined {
    return this.#next;
  }

  take(): TraceRecord | undefined {
    const taken = this.#next;
    this.#advance();
    return taken;
  }

  #advance(): void {
    const { value, done } = this.#records.next();
    this.#next = done === true ? undefined : value;
  }
}

function* recordsOf(
  { cpu, pages, read }: CpuBuffer,
  layout: PageLayout,
  notes: Notes,
): Generator<TraceRecord, void, void> {
  for (const [index, page] of pages.entries()) {
    let lost = missedBefore(page, layout);
    const events = eventsIn(page, layout, index === 0 ? read : 0);
    for (let next = events.next(); ; next = events.next()) {
      if (next.done === true) {
        const { broken } = next.value;
        if (broken === undefined) break;
        notes.add(`CPU ${cpu}'s ring buffer: a sub-buffer's rest is left out, as ${broken}`);
        break;
      }
      const { time, offset, length } = next.value;
      yield { cpu, time, data: page.subarray(offset, offset + length), lost };
      lost = undefined;
    }
  }
}

/**
 * All CPUs' events in the order of their times; of those at the same time the lowest CPU's comes first, as in
 * tracefs. While an event is looked at, `cpu` has what follows on its CPU.
 */
export function* merged(
  { cpus, layout }: RingBuffer,
  notes: Notes,
): Generator<{ record: TraceRecord; cpu: CpuRecords }, void, void> {
  const heap = cpus
    .map((buffer) => new CpuRecords(buffer, layout, notes))
    .filter(({ next }) => next !== undefined);
  for (let i = heap.length >> 1; i >= 0; i--) sink(heap, i);
  for (let cpu = heap[0]; cpu !== undefined; cpu = heap[0]) {
    const record = cpu.take();
    if (record === undefined) {
      // A leaf's return was taken from outside, and was the last.
      const last = heap.pop();
      if (last !== undefined && last !== cpu) heap[0] = last;
      sink(heap, 0);
      continue;
    }
    yield { record, cpu };
    sink(heap, 0);
  }
}

/** What has nothing left is behind all others. */
function isBefore(a: CpuRecords, b: CpuRecords): boolean {
  if (a.next === undefined || b.next === undefined)
    return b.next === undefined && a.next !== undefined;
  if (a.next.time !== b.next.time) return a.next.time < b.next.time;
  return a.cpu < b.cpu;
}

function sink(heap: CpuRecords[], from: number): void {
  for (let at = from; ; ) {
    const top = heap[at];
    let least = at;
    for (const child of [2 * at + 1, 2 * at + 2]) {
      const one = heap[child];
      const best = heap[least];
      if (one !== undefined && best !== undefined && isBefore(one, best)) least = child;
    }
    const other = heap[least];
    if (least === at || top === undefined || other === undefined) return;
    heap[at] = other;
    heap[least] = top;
    at = least;
  }
}
