import { join } from "node:path";
import { expect, it } from "vitest";
import { qemuGuest, umlGuest } from "../../vm/guest.js";
import type { KernelName } from "../../vm/kernel.js";
import { joinDump } from "../support/join-dump.js";
import {
  describeGuests,
  dumpsOf,
  panic,
  qemuDevice,
  recordNames,
  serve,
  startGuest,
  temporaryFolder,
  textOf,
} from "./support.js";
import { type Tampering, tamper } from "./tampering.js";

/** As cloud-hypervisor does. */
const MASKED = 24;

const script = [
  "echo said > /dev/kmsg",
  "echo traced > /sys/kernel/tracing/trace_marker",
  "[ -c /dev/pmsg0 ] && echo told > /dev/pmsg0",
  // The console's text is on its way.
  "sleep 1",
  panic,
].join("\n");

interface Served {
  readonly directory: string;
  readonly bases: ReadonlyMap<number, number>;
  readonly output: string;
  /** What the daemon said of drivers that have started. */
  readonly started: readonly string[];
}

/** Runs a guest on a back-end of which its VMM lets only so much through. */
async function serveTampered(
  tampering: Tampering,
  argv: (socket: string) => Promise<string[]>,
): Promise<Served> {
  const folder = temporaryFolder();
  const [backEnd, directory] = [join(folder, "socket"), join(folder, "crashes")];
  const types = ["--types", "dmesg,ftrace,console,pmsg"];
  const daemon = await serve("--socket-path", backEnd, "--directory", directory, ...types);
  const { socket, bases } = tamper(backEnd, tampering);
  const { output } = await startGuest(await argv(socket)).ended;
  expect(await daemon.stop(), daemon.log()).toBe(0);
  const started = [...daemon.log().matchAll(/driver started: (.*)/g)].map(([, line = ""]) => line);
  return { directory, bases, output, started };
}

const onQemu =
  (kernel: KernelName, configBytes: number) =>
  async (socket: string): Promise<string[]> => [
    ...(await qemuGuest({ kernel, driverParameters: { trace: 1 }, script })),
    ...qemuDevice(socket, 256, 3, "pstore", configBytes),
  ];

const onUml = async (socket: string): Promise<string[]> => [
  ...(await umlGuest({ driverParameters: { trace: 1 }, script })),
  `virtio_uml.device=${socket}:22`,
];

const types = (directory: string) =>
  new Set(recordNames(directory).map((name) => name.replace(/-.*/, "")));

describeGuests("a guest whose VMM keeps the feature bits below 24 back", () => {
  it.each([
    ["QEMU", "7.3", onQemu("7.3", 40), true],
    ["user-mode-linux", "6.1", onUml, false],
  ] as const)(
    "%s, Linux %s: the configuration space gives it the whole device",
    async (_vmm, _kernel, argv, traces) => {
      const tampering = { featuresFrom: MASKED };
      const { directory, bases, output, started } = await serveTampered(tampering, argv);
      expect(started, output).toEqual([
        "extended interface; types dmesg, console, ftrace, pmsg; 3 queues",
      ]);
      const [dump, ...others] = dumpsOf(directory, "dmesg");
      if (dump === undefined) throw new Error(`no dump: ${output}`);
      expect(others).toEqual([]);
      expect(dump).toMatchObject({ reason: "Panic", oldestFirst: true });
      expect(dump.boot).toMatch(/^[0-9a-f]{32}$/);
      expect(joinDump(dump).toString()).toMatch(/Linux version.*said.*Kernel panic/s);
      expect(textOf(directory, "console")).toEqual([expect.stringMatching(/^(\[.*\] )?said$/m)]);
      expect(textOf(directory, "pmsg")).toEqual(["told\n"]);
      const traced = dumpsOf(directory, "ftrace").map((trace) => joinDump(trace).toString());
      expect(traced).toEqual(traces ? [expect.stringContaining("traced")] : []);
      if (traces) expect(bases.get(2)).toBeGreaterThan(0);
    },
  );

  it.each([
    ["ones behind byte 32, QEMU", { from: 32, is: "ones" }, onQemu("6.1", 40)],
    ["4 bytes of it, QEMU", undefined, onQemu("6.12", 4)],
    ["zeros behind byte 32, user-mode-linux", { from: 32, is: "zeros" }, onUml],
    ["ones behind byte 4, user-mode-linux", { from: 4, is: "ones" }, onUml],
    ["answers that end at byte 32, user-mode-linux", { from: 32, is: "missing" }, onUml],
  ] as const)(
    "and of the configuration space shows it %s: it gets the device of 2016",
    async (_, config, argv) => {
      const tampering = { featuresFrom: MASKED, ...(config === undefined ? {} : { config }) };
      const { directory, bases, output, started } = await serveTampered(tampering, argv);
      expect(started, output).toEqual([
        expect.stringMatching(/^interface of 2016 \(.*\); types dmesg, console; 2 queues$/),
      ]);
      const [dump, ...others] = dumpsOf(directory, "dmesg");
      if (dump === undefined) throw new Error(`no dump: ${output}`);
      expect(others).toEqual([]);
      expect(dump.oldestFirst).toBe(false);
      expect(dump.parts.every(({ compressed }) => compressed)).toBe(true);
      const text = joinDump(dump).toString();
      expect(text).toContain("Kernel panic - not syncing: sysrq triggered crash");
      expect(text).not.toMatch(/BUG|Oops|WARNING/);
      expect([...types(directory)].filter((type) => type !== "console")).toEqual(["dmesg"]);
      expect(bases.get(2) ?? 0).toBe(0);
    },
  );
});
