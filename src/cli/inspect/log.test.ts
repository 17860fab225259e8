import { expect, test } from "vitest";
import { tinyKernel } from "../../../test/support/tiny-kernel.js";
import { openKernel } from "../../memory/kernel/index.js";
import { Notes } from "../../memory/kernel/notes.js";
import { log } from "./log.js";
import type { Looked } from "./view.js";

function lookedAt(messages: readonly string[]) {
  const { memory, bytes } = tinyKernel({ messages });
  const notes = new Notes();
  const looked: Looked = { source: "tiny", memory, kernel: openKernel(memory), notes, options: {} };
  return { looked, bytes, notes };
}

test("the log is read while it is written, not before, and its crash is told at its end", async () => {
  const { looked, bytes, notes } = lookedAt(["Linux version tiny"]);
  const shown = await log.show(looked);
  const later = ["Linux version tiny", "Kernel panic - not syncing: later"];
  tinyKernel({ messages: later }).bytes.copy(bytes);
  expect([...shown.lines]).toEqual([
    "<6>[    0.000000] Linux version tiny",
    "<6>[    1.500000] Kernel panic - not syncing: later",
  ]);
  expect(notes.take()).toEqual(["the log ends in a crash: kernel panic: later"]);
});

test("bytes that are no UTF-8 are shown the same as text and as JSON", async () => {
  const { looked, bytes } = lookedAt(["Linux version \u00c3\u00a9 XY"]);
  bytes.write("\xff\xfe", bytes.indexOf("XY"), "latin1");
  const { lines } = await log.show(looked);
  const shown = [...lines];
  const json = (await log.show(looked)).json() as { messages: { text: string }[] };
  expect(shown[0]).toMatch(/\\xff\\xfe$/);
  expect(shown[0]).toContain(json.messages[0]?.text);
});

test("of a log that costs too much, JSON has what was read until then, and a note", async () => {
  const { looked, notes } = lookedAt(["Linux version tiny", "the second\nof two lines"]);
  const { budget } = looked.kernel;
  const jsonOf = async () => (await log.show(looked)).json() as { messages: { text: string }[] };
  budget.renew();
  const { left } = budget;
  await jsonOf();
  const cost = left - budget.left;
  // The last message's last line is too much.
  budget.renew(cost - 1);
  const { messages } = await jsonOf();
  expect(messages.map(({ text }) => text)).toEqual(["Linux version tiny"]);
  expect(notes.take()).toEqual([expect.stringMatching(/^log: reading on would take more than/)]);
});
