import type { IntegerType } from "./print-fmt/value.js";

/** A field of an event, as the kernel describes it (struct ftrace_event_field). */
export interface EventField {
  readonly name: string;
  /** As it stands in the event's format, with an array's brackets. */
  readonly type: string;
  /** From the record's beginning, in bytes. */
  readonly offset: number;
  /** In bytes; 0 for an array that goes on to the record's end. */
  readonly size: number;
  readonly signed: boolean;
  /** An array's elements; undefined of what is no array of integers. */
  readonly element: IntegerType | undefined;
  /** The field tells where in the record its bytes are (__data_loc, __rel_loc). */
  readonly dynamic: boolean;
  /** The place is counted from the field's own end (__rel_loc). */
  readonly relative: boolean;
}

/** How a field is declared: before its name, and behind it. */
export function declaration({ type, dynamic }: EventField): { before: string; behind: string } {
  const bracket = dynamic ? -1 : type.indexOf("[");
  return bracket < 0
    ? { before: type, behind: "" }
    : { before: type.slice(0, bracket), behind: type.slice(bracket) };
}
