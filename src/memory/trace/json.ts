import { guestText } from "../guest-text.js";
import type { Kernel } from "../kernel/index.js";
import type { Contexts } from "./contexts.js";
import { EventTexts, fieldValue } from "./event-text.js";
import type { Events } from "./events.js";
import type { Instance } from "./instances.js";
import { newestFirst, type TraceRecord } from "./records.js";
import type { RingBuffer } from "./ring-buffer.js";

/** An event, for JSON. */
export interface JsonEvent {
  readonly cpu: number;
  /** In the instance's clock: nanoseconds, or what it counts. */
  readonly time: string;
  readonly task: string;
  readonly pid: number;
  readonly flags: string;
  /** `SYSTEM:NAME`. */
  readonly event: string;
  readonly text: string;
  /** Numbers of 64 bits are texts. */
  readonly fields: Readonly<Record<string, string | number | readonly string[]>>;
}

/** What an event costs, in units of the budget. */
const WORK_PER_EVENT = 2;

/** The newest events of a buffer, the oldest first, and whether those before them are left out. */
export function jsonEvents(
  { kernel, events, contexts }: { kernel: Kernel; events: Events; contexts: Contexts },
  instance: Instance,
  buffer: RingBuffer | undefined,
  most: number,
): { readonly isCut: boolean; readonly list: readonly JsonEvent[] } {
  if (buffer === undefined) return { isCut: false, list: [] };
  const texts = new EventTexts(kernel, events, instance);
  const list: JsonEvent[] = [];
  const isCut = kernel.attempt("events", () => {
    for (const record of newestFirst(buffer, kernel)) {
      if (list.length === most) return true;
      kernel.budget.spend(WORK_PER_EVENT);
      const event = jsonEvent(record, contexts, texts);
      list.push(event);
      kernel.budget.keep(bytesOf(event));
    }
    return false;
  });
  return { isCut: isCut !== false, list: list.reverse() };
}

/** What an event takes beside its texts. */
const EVENT_BYTES = 256;

function bytesOf({ text, fields }: JsonEvent): number {
  const values = Object.values(fields).map((value) =>
    Array.isArray(value) ? value.length * 16 : String(value).length,
  );
  return values.reduce((sum, bytes) => sum + bytes, EVENT_BYTES + text.length);
}

function jsonEvent(record: TraceRecord, contexts: Contexts, texts: EventTexts): JsonEvent {
  const { cpu, time, data } = record;
  const format = texts.format(data);
  const { task, pid, flags } = contexts.of(data);
  const fields = (format?.fields ?? []).map((field) => {
    const value = fieldValue(field, data);
    if (Array.isArray(value)) return [field.name, value.map(String)] as const;
    const isWide = typeof value === "bigint" && field.size > 4;
    return [
      field.name,
      typeof value === "bigint" && !isWide ? Number(value) : String(value),
    ] as const;
  });
  return {
    ...{ cpu, time: String(time), task: guestText(task), pid, flags },
    event: format === undefined ? "" : `${format.system}:${format.name}`,
    text: guestText(texts.text(data)),
    fields: Object.fromEntries(
      fields.map(([name, value]) => [name, typeof value === "string" ? guestText(value) : value]),
    ),
  };
}
