import { describe, expect, test } from "vitest";
import { RECORD_TYPES } from "../records/index.js";
import { type DriverFacts, describeDriver } from "./driver-line.js";
import { F_EXTENDED, F_PANIC_VQ } from "./wire.js";

const all: DriverFacts = {
  extended: true,
  negotiated: F_EXTENDED | F_PANIC_VQ,
  types: RECORD_TYPES,
  queues: [0, 1, 2],
  configRead: 32,
};
const old: DriverFacts = { ...all, extended: false, negotiated: 0n, queues: [0, 1] };

const START = "driver started: ";

describe("the line that says what a guest got", () => {
  test.each([
    [all, "extended interface; types dmesg, console, ftrace, pmsg; 3 queues"],
    // Agreed through the configuration space.
    [
      { ...all, negotiated: 0n },
      "extended interface; types dmesg, console, ftrace, pmsg; 3 queues",
    ],
    [
      { ...all, types: ["dmesg", "ftrace"] },
      "extended interface; types dmesg, ftrace (not console, pmsg: see --types); 3 queues",
    ],
    [
      { ...all, queues: [0, 1] },
      "extended interface; types dmesg, console, ftrace, pmsg; 2 queues (none for a panic: the VMM has no third)",
    ],
    [
      { ...all, negotiated: 0n, queues: [0] },
      "extended interface; types dmesg, console, ftrace, pmsg; 1 queue (none for a panic: the VMM has no third)",
    ],
    [
      { ...all, negotiated: F_EXTENDED, queues: [0, 1] },
      "extended interface; types dmesg, console, ftrace, pmsg; 2 queues (none for a panic: VIRTIO_PSTORE_F_PANIC_VQ wasn't negotiated)",
    ],
    [
      { ...old, configRead: 40 },
      "interface of 2016 (the driver knows no other, or the VMM keeps the feature bits below 24 back and changes the configuration); types dmesg, console; 2 queues",
    ],
    [
      { ...old, types: ["dmesg", "ftrace"] },
      "interface of 2016 (the driver knows no other, or the VMM keeps the feature bits below 24 and the configuration from byte 32 on back); types dmesg (not console: see --types); 2 queues",
    ],
    [
      { ...old, configRead: 0 },
      "interface not known (the VMM connected after its start); types dmesg, console, ftrace, pmsg; 2 queues",
    ],
  ] as const)("%o", (facts, line) => {
    expect(describeDriver(facts).message).toBe(START + line);
  });

  test("the same for programs", () => {
    const of = (facts: DriverFacts) => describeDriver(facts).details;
    expect(of(all)).toEqual({
      interface: "extended",
      types: "dmesg,console,ftrace,pmsg",
      queues: 3,
    });
    expect(of(old)).toEqual({ interface: "2016", types: "dmesg,console", queues: 2 });
    expect(of({ ...old, configRead: 0 })?.interface).toBe("unknown");
  });
});
