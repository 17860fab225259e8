import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type FaultName, faultTitles } from "../../../test/support/faults.js";
import { readFacts } from "./index.js";

/** Ends of dumps of our own guests, which test/vm/titles.test.ts writes: `KERNEL-FAULT.txt`. */
const directory = join(import.meta.dirname, "fixtures");

const isFault = (name: string): name is FaultName => name in faultTitles;

describe("what our guests left", () => {
  const names = readdirSync(directory);

  it("is there", () => {
    expect(names.length).toBeGreaterThan(3);
  });

  it.each(names)("%s has its title, and who ran is told", (name) => {
    const [kernel = "", fault = ""] = name.replace(".txt", "").split("-");
    if (!isFault(fault)) throw new Error(`${name} is of no fault that is known`);
    const facts = readFacts(readFileSync(join(directory, name), "utf8").split("\n"));
    expect(facts.title).toBe(faultTitles[fault]);
    expect(facts.release).toMatch(new RegExp(`^${kernel.split(".", 1)[0]}\\.`));
    expect(facts).toMatchObject({ cpu: 0, task: "sh" });
    expect(facts.frames).toContain("fault_write");
  });
});
