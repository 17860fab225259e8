import { availableParallelism, cpus } from "node:os";
import { summarize, table } from "./statistics.js";

/** What one look at a guest took. */
export interface Looked {
  readonly views: string;
  /** Whether the memory's file was in the host's page cache. */
  readonly state: "warm" | "cold";
  readonly seconds: number;
  readonly cpuSeconds: number;
}

/** A core that was written once. */
export interface Core {
  readonly way: string;
  readonly seconds: number;
  readonly cpuSeconds: number;
  /** Until all of it was on the disk. */
  readonly durableSeconds: number;
  readonly bytes: number;
  /** Without its holes. */
  readonly allocatedBytes: number;
  /** What QEMU had more in memory afterwards, and the guest's memory file on the disk. */
  readonly grownBytes: number;
  readonly grownFileBytes: number;
}

export interface Measured {
  readonly memoryMiB: number;
  readonly kernel: string;
  readonly looks: readonly Looked[];
  readonly cores: readonly Core[];
}

const MIB = 2 ** 20;

export function report({ memoryMiB, kernel, looks, cores }: Measured): string {
  const at = `${availableParallelism()} CPUs, ${cpus()[0]?.model ?? "unknown"}, Node ${process.version}`;
  return [
    `A guest of ${memoryMiB} MiB, Linux ${kernel} (${at}); medians\n`,
    table([["inspect", "", "s of CPU", "s"], ...lookRows(looks)]),
    "",
    table([
      [
        "core",
        "s",
        "s to disk",
        "s of CPU",
        "MiB",
        "MiB on disk",
        "QEMU grew, MiB",
        "file grew, MiB",
      ],
      ...[...new Set(cores.map(({ way }) => way))].map((way) => coreRow(cores, way)),
    ]),
    "",
    table([["goal", "measured", "to reach", ""], ...goalRows(cores)]),
    "",
  ].join("\n");
}

const seconds = (value: number): string => value.toFixed(2);
const mib = (bytes: number): string => (bytes / MIB).toFixed(0);
const median = (values: readonly number[]): number => summarize(values).median;

function lookRows(looks: readonly Looked[]): string[][] {
  const keys = new Set(looks.map(({ views, state }) => `${views}|${state}`));
  return [...keys].map((key) => {
    const [views = "", state = ""] = key.split("|");
    const those = looks.filter((one) => one.views === views && one.state === state);
    const of = (what: "cpuSeconds" | "seconds") => seconds(median(those.map((one) => one[what])));
    return [views, state, of("cpuSeconds"), of("seconds")];
  });
}

type Figure = Exclude<keyof Core, "way">;

const figure = (cores: readonly Core[], way: string, what: Figure): number =>
  median(cores.filter((core) => core.way === way).map((core) => core[what]));

/** A VMM grows once, by the first of what makes it grow. */
const most = (cores: readonly Core[], way: string, what: Figure): number =>
  Math.max(...cores.filter((core) => core.way === way).map((core) => core[what]));

function coreRow(cores: readonly Core[], way: string): string[] {
  return [
    way,
    seconds(figure(cores, way, "seconds")),
    seconds(figure(cores, way, "durableSeconds")),
    seconds(figure(cores, way, "cpuSeconds")),
    mib(figure(cores, way, "bytes")),
    mib(figure(cores, way, "allocatedBytes")),
    mib(most(cores, way, "grownBytes")),
    mib(most(cores, way, "grownFileBytes")),
  ];
}

function goalRows(cores: readonly Core[]): string[][] {
  const written = (way: string) => figure(cores, way, "durableSeconds");
  const rate = (way: string) => figure(cores, way, "allocatedBytes") / written(way);
  const qemu = ["QEMU, elf", "QEMU, kdump-zlib", "QEMU, kdump-raw-zlib"];
  const size = (way: string) => figure(cores, way, "allocatedBytes");
  const grown = ["ours, elf", "ours, kdump-zlib"].map((way) => most(cores, way, "grownBytes"));
  return [
    atLeast(
      "QEMU's fastest ÷ our elf, time",
      Math.min(...qemu.map(written)) / written("ours, elf"),
      5,
    ),
    atLeast(
      "QEMU's kdump-zlib ÷ ours, time",
      Math.min(written("QEMU, kdump-zlib"), written("QEMU, kdump-raw-zlib")) /
        written("ours, kdump-zlib"),
      1.5,
    ),
    atLeast("our elf ÷ disk, bytes a second", rate("ours, elf") / rate("disk"), 0.8),
    atMost(
      "our filtered kdump-zlib ÷ makedumpfile's, bytes",
      size("ours, kdump-zlib, filtered") / size("makedumpfile -c -d 31"),
      1.2,
    ),
    atMost("QEMU grew by our cores, MiB", Math.max(...grown) / MIB, 0),
  ];
}

const atLeast = (what: string, value: number, limit: number): string[] => [
  ...[what, value.toFixed(2), `≥ ${limit}`, value >= limit ? "reached" : "missed"],
];

const atMost = (what: string, value: number, limit: number): string[] => [
  ...[what, value.toFixed(2), `≤ ${limit}`, value <= limit ? "reached" : "missed"],
];
