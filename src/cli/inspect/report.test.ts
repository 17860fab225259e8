import { expect, test } from "vitest";
import { tinyKernel } from "../../../test/support/tiny-kernel.js";
import { MemoryError } from "../../memory/errors.js";
import { openKernel } from "../../memory/kernel/index.js";
import { Notes } from "../../memory/kernel/notes.js";
import { report } from "./report.js";
import type { Looked } from "./view.js";

test("a log that can't be read to its end leaves a kernel that doesn't describe itself its page", async () => {
  const { memory } = tinyKernel({ undescribed: true });
  let reads = 0;
  let most = Number.POSITIVE_INFINITY;
  const ending = {
    ...memory,
    read: (address: number, into: Buffer) => {
      if (++reads > most) throw new MemoryError("ENDED", "it ended");
      return memory.read(address, into);
    },
  };
  const notes = new Notes();
  const looked: Looked = {
    ...{ source: "tiny", memory: ending, notes, options: {} },
    get kernel() {
      return openKernel(memory);
    },
  };
  await report.show(looked);
  expect(notes.take()).toHaveLength(1);
  most = reads - 1;
  reads = 0;
  const { wrong } = (await report.show(looked)).json() as { wrong: string[] };
  expect(wrong).toEqual(["it doesn't describe itself, or not yet: only its log is known"]);
  expect(notes.take()).toContain("log: it ended");
});
