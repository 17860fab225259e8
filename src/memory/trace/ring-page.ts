/** Where a sub-buffer's parts lie, in bytes from its beginning (struct buffer_data_page). */
export interface PageLayout {
  readonly timeStamp: number;
  readonly commit: number;
  readonly data: number;
}

/** One event's place in a sub-buffer. */
export interface RingEvent {
  /** In the buffer's clock. */
  readonly time: bigint;
  /** Of its data, from the sub-buffer's beginning, in bytes. */
  readonly offset: number;
  readonly length: number;
}

/** Events were lost before a sub-buffer; `count` where it was stored. */
export interface Missed {
  readonly count: bigint | undefined;
}

/** What is known of a sub-buffer behind its last event. */
export interface RingPageEnd {
  /** Why the rest could not be read; undefined where all was. */
  readonly broken: string | undefined;
  /** The time behind the last event before `from`, and where the first event from there on begins. */
  readonly resume: { readonly time: bigint; readonly offset: number };
}

/** A sub-buffer's events, in the order in which they were written. */
export interface RingPage extends RingPageEnd {
  /** When the sub-buffer was begun. */
  readonly time: bigint;
  /** How many bytes of data were committed. */
  readonly committed: number;
  readonly events: readonly RingEvent[];
  readonly missed: Missed | undefined;
}

/** type_len of struct ring_buffer_event (include/linux/ring_buffer.h): the kernel writes them out, in header_event, too. */
const PADDING = 29;
const TIME_EXTEND = 30;
const TIME_STAMP = 31;

/** The header, and the word behind it where there is one. */
const HEADER = 4;
const TIME_DELTA_BITS = 27;

/** The commit word: the low bits are the length, and these two say what was lost (RB_MISSED_EVENTS, RB_MISSED_STORED). */
const COMMIT_MASK = 0xfffff;
const MISSED_EVENTS = 0x80000000;
const MISSED_STORED = 0x40000000;

/** An absolute time stamp has 59 bits; the others come from the time before it. */
const STAMP_BITS = 59n;
const STAMP_HIGH = 0xf800_0000_0000_0000n;

/** How many bytes a sub-buffer says that it holds, as far as there can be as many. */
export function committedBytes(page: Buffer, layout: PageLayout): number {
  return Math.min(page.readUInt32LE(layout.commit) & COMMIT_MASK, page.length - layout.data);
}

/** Decodes a whole sub-buffer, as `eventsIn` does. */
export function decodePage(page: Buffer, layout: PageLayout, from = 0): RingPage {
  const events: RingEvent[] = [];
  const all = eventsIn(page, layout, from);
  for (;;) {
    const { done, value } = all.next();
    if (done === true) {
      const time = page.readBigUInt64LE(layout.timeStamp);
      const committed = committedBytes(page, layout);
      return { ...value, time, committed, events, missed: missedBefore(page, layout) };
    }
    events.push(value);
  }
}

/**
 * Decodes a sub-buffer (kernel/trace/ring_buffer.c), one event after the other: a large one may have 65,536. What isn't
 * well-formed ends it.
 * @param from how much of the data has been read already, in bytes.
 */
export function* eventsIn(
  page: Buffer,
  layout: PageLayout,
  from = 0,
): Generator<RingEvent, RingPageEnd, void> {
  const word = page.readUInt32LE(layout.commit);
  const committed = committedBytes(page, layout);
  const end = layout.data + committed;
  let time = page.readBigUInt64LE(layout.timeStamp);
  let at = layout.data;
  let resume: RingPage["resume"] | undefined;
  let broken =
    (word & COMMIT_MASK) > committed
      ? `it says that it holds ${word & COMMIT_MASK} bytes`
      : undefined;
  while (at < end) {
    if (at - layout.data >= from) resume ??= { time, offset: at };
    if (at + HEADER > end) {
      broken ??= "an event's header goes beyond its end";
      break;
    }
    const header = page.readUInt32LE(at);
    const type = header & 0x1f;
    const delta = header >>> 5;
    const hasWord = type === 0 || type >= PADDING;
    if (hasWord && at + 2 * HEADER > end) {
      // A null event fills what is left, and its word need not fit.
      if (type !== PADDING) broken ??= "an event's header goes beyond its end";
      break;
    }
    const extra = hasWord ? page.readUInt32LE(at + HEADER) : 0;
    if (type === TIME_EXTEND || type === TIME_STAMP) {
      const long = (BigInt(extra) << BigInt(TIME_DELTA_BITS)) + BigInt(delta);
      time = BigInt.asUintN(64, type === TIME_EXTEND ? time + long : absolute(long, time));
      at += 2 * HEADER;
      continue;
    }
    if (type === PADDING) {
      // Without a delta nothing follows; else a discarded event, whose delta the kernel's reader doesn't count either.
      if (delta === 0) break;
      if (extra < HEADER || extra > end) {
        broken ??= `a discarded event has ${extra} bytes`;
        break;
      }
      at += HEADER + extra;
      continue;
    }
    time = BigInt.asUintN(64, time + BigInt(delta));
    const offset = at + (type === 0 ? 2 * HEADER : HEADER);
    const length = type === 0 ? extra - HEADER : type * 4;
    if (length < 0 || offset + length > end) {
      broken ??= `an event has ${length} bytes`;
      break;
    }
    if (at - layout.data >= from) yield { time, offset, length };
    at = offset + ((length + 3) & ~3);
  }
  return { broken, resume: resume ?? { time, offset: at } };
}

/** What was lost before a sub-buffer; undefined where nothing was. */
export function missedBefore(page: Buffer, layout: PageLayout): Missed | undefined {
  const word = page.readUInt32LE(layout.commit);
  if ((word & MISSED_EVENTS) === 0) return undefined;
  return { count: storedCount(page, word, layout.data + committedBytes(page, layout)) };
}

function absolute(stamp: bigint, before: bigint): bigint {
  const high = before & STAMP_HIGH;
  if (high === 0n) return stamp;
  const whole = stamp | high;
  return whole < before ? whole + (1n << STAMP_BITS) : whole;
}

/** Behind the data, where there was room for it. */
function storedCount(page: Buffer, word: number, end: number): bigint | undefined {
  if ((word & MISSED_STORED) === 0 || end + 8 > page.length) return undefined;
  return page.readBigUInt64LE(end);
}

/** A sub-buffer without the data that a reader in the guest has taken. */
export function withoutRead(page: Buffer, layout: PageLayout, read: number): Buffer {
  const { resume } = decodePage(page, layout, read);
  const rest = page.subarray(resume.offset, layout.data + committedBytes(page, layout));
  const shorter = Buffer.alloc(page.length);
  shorter.writeBigUInt64LE(resume.time, layout.timeStamp);
  shorter.writeBigUInt64LE(BigInt(rest.length), layout.commit);
  rest.copy(shorter, layout.data);
  return shorter;
}
