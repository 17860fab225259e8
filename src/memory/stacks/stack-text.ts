import { hex } from "../guest-text.js";
import type { SymbolAt } from "../kernel/index.js";
import type { Frame, TaskStack } from "./stacks.js";

/** As the kernel's %pS: `function+0x1f/0x30 [module]`. */
export function symbolText(address: bigint, symbol: SymbolAt | undefined): string {
  if (symbol === undefined) return hex(address);
  const { name, offset, size, module } = symbol;
  const place = `${name}+0x${offset.toString(16)}/0x${size.toString(16)}`;
  return module === undefined ? place : `${place} [${module}]`;
}

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
  const place = symbolText(address, symbol);
  const mark = isGuess ? "? " : "";
  if (saved !== undefined) return `${mark}RIP: ${saved.cs.toString(16).padStart(4, "0")}:${place}`;
  return at === undefined ? `RIP: ${place}` : `${mark}${place}`;
}
