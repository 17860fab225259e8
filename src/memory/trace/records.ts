import type { Kernel, Notes } from "../kernel/index.js";
import type { CpuBuffer, RingBuffer } from "./ring-buffer.js";
import {
  eventsIn,
  missedBefore,
  type PageLayout,
  type RingEvent,
  type RingPageEnd,
} from "./ring-page.js";

/** One event of a trace. */
export interface TraceRecord {
  readonly cpu: number;
  /** In the instance's clock. */
  readonly time: bigint;
  readonly data: Buffer;
  /** Events were lost on that CPU before this one; how many, where that was stored. */
  readonly lost?: { readonly count: bigint | undefined } | undefined;
}

/** A CPU's events, with one event known in advance. */
export class CpuRecords {
  readonly cpu: number;
  readonly #records: Iterator<TraceRecord, void, void>;
  #next: TraceRecord | undefined;

  constructor(cpu: number, records: Iterator<TraceRecord, void, void>) {
    this.cpu = cpu;
    this.#records = records;
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

/** The oldest first. */
export function* recordsOf(
  { cpu, pages, read }: CpuBuffer,
  layout: PageLayout,
  notes: Notes,
): Generator<TraceRecord, void, void> {
  for (const [index, page] of pages.entries()) {
    let lost = missedBefore(page, layout);
    const events = eventsIn(page, layout, index === 0 ? read : 0);
    for (let next = events.next(); ; next = events.next()) {
      if (next.done === true) {
        noteBroken(cpu, next.value, notes);
        break;
      }
      const { time, offset, length } = next.value;
      yield { cpu, time, data: page.subarray(offset, offset + length), lost };
      lost = undefined;
    }
  }
}

function noteBroken(cpu: number, { broken }: RingPageEnd, notes: Notes): void {
  if (broken === undefined) return;
  notes.add(`CPU ${cpu}'s ring buffer: a sub-buffer's rest is left out, as ${broken}`);
}

/** What an event costs to find, in units of the budget. */
const WORK_PER_RECORD = 0.5;

/** The newest first: older sub-buffers aren't looked at before they are reached. */
function* newestRecordsOf(
  { cpu, pages, read }: CpuBuffer,
  layout: PageLayout,
  { budget, notes }: Kernel,
): Generator<TraceRecord, void, void> {
  for (const [index, page] of [...pages.entries()].reverse()) {
    const found: RingEvent[] = [];
    const events = eventsIn(page, layout, index === 0 ? read : 0);
    for (let next = events.next(); ; next = events.next()) {
      if (next.done === true) {
        noteBroken(cpu, next.value, notes);
        break;
      }
      budget.spend(WORK_PER_RECORD);
      found.push(next.value);
    }
    for (const { time, offset, length } of found.reverse()) {
      yield { cpu, time, data: page.subarray(offset, offset + length) };
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
  const all = cpus.map((buffer) => new CpuRecords(buffer.cpu, recordsOf(buffer, layout, notes)));
  yield* inOrder(all, isBefore);
}

/** As `merged`, from the newest on. Throws MemoryError where no budget is left. */
export function* newestFirst(
  { cpus, layout }: RingBuffer,
  kernel: Kernel,
): Generator<TraceRecord, void, void> {
  const all = cpus.map(
    (buffer) => new CpuRecords(buffer.cpu, newestRecordsOf(buffer, layout, kernel)),
  );
  for (const { record } of inOrder(all, isBehind)) yield record;
}

type Order = (a: CpuRecords, b: CpuRecords) => boolean;

function* inOrder(
  all: readonly CpuRecords[],
  isFirst: Order,
): Generator<{ record: TraceRecord; cpu: CpuRecords }, void, void> {
  const heap = all.filter(({ next }) => next !== undefined);
  for (let i = heap.length >> 1; i >= 0; i--) sink(heap, i, isFirst);
  for (let cpu = heap[0]; cpu !== undefined; cpu = heap[0]) {
    const record = cpu.take();
    if (record === undefined) {
      // A leaf's return was taken from outside, and was the last.
      const last = heap.pop();
      if (last !== undefined && last !== cpu) heap[0] = last;
      sink(heap, 0, isFirst);
      continue;
    }
    yield { record, cpu };
    sink(heap, 0, isFirst);
  }
}

/** What has nothing left is behind all others. */
function isBefore(a: CpuRecords, b: CpuRecords): boolean {
  if (a.next === undefined || b.next === undefined)
    return b.next === undefined && a.next !== undefined;
  if (a.next.time !== b.next.time) return a.next.time < b.next.time;
  return a.cpu < b.cpu;
}

const isBehind: Order = (a, b) => a.next !== undefined && (b.next === undefined || isBefore(b, a));

function sink(heap: CpuRecords[], from: number, isFirst: Order): void {
  for (let at = from; ; ) {
    const top = heap[at];
    let least = at;
    for (const child of [2 * at + 1, 2 * at + 2]) {
      const one = heap[child];
      const best = heap[least];
      if (one !== undefined && best !== undefined && isFirst(one, best)) least = child;
    }
    const other = heap[least];
    if (least === at || top === undefined || other === undefined) return;
    heap[at] = other;
    heap[least] = top;
    at = least;
  }
}
