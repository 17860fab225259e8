import { codeText } from "../symbol-text.js";
import type { Frame, TaskStack } from "./stacks.js";

/** A stack as the kernel prints one: guesses have a `?`, and other stacks than the task's own stand in marks. */
export function* stackLines(stack: TaskStack): Generator<string, void, void> {
  let on: string | undefined;
  for (const frame of stack.frames) {
    if (frame.stack !== on) {
      if (on !== undefined) yield `</${on}>`;
      if (frame.stack !== undefined) yield `<${frame.stack}>`;
      on = frame.stack;
    }
    yield frameLine(frame);
  }
  if (on !== undefined) yield `</${on}>`;
}

function frameLine({ address, symbol, isGuess, at, saved }: Frame): string {
  const place = codeText(address, symbol);
  const mark = isGuess ? "? " : "";
  if (saved !== undefined) return `${mark}RIP: ${saved.cs.toString(16).padStart(4, "0")}:${place}`;
  return at === undefined ? `RIP: ${place}` : `${mark}${place}`;
}
