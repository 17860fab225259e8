// The ways for a guest's text to leave it that `npm run bench:guest` compares, and how each is set up.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { decodeRecord, findRecords, groupDumps } from "../src/analysis/index.js";
import { ErstFile, payloadOf } from "../src/formats/erst/index.js";
import { formatRecordName } from "../src/records/index.js";
import { joinDump } from "../test/support/join-dump.js";

/** A boot of the guest that prints, and dies, in one way. */
export interface Way {
  readonly name: string;
  /** Ways that are compared have the same. */
  readonly group: string;
  /** Parameters of test/vm/crash. */
  readonly crash: string;
  /** The number of lines that have to arrive; none where nothing is to. */
  readonly lines?: number;
  /** What arrived on the host, as text. */
  readonly arrived?: (folder: string) => string;
  /** For the kernel's command line. */
  readonly append: string;
  /** The guest's ttyS0 is its console. */
  readonly serial?: boolean;
  /** Further arguments for QEMU. */
  readonly qemu?: (folder: string) => readonly string[];
  /** The kernel's own modules that are loaded first, with their parameters. */
  readonly modules?: readonly string[];
  /** Parameters of our driver; without them it isn't loaded. */
  readonly driver?: string;
  /** Options of `virtio-pstore run`. */
  readonly device?: readonly string[];
  readonly pstoreMount?: string;
  /** It takes half a minute and more: one boot has to do. */
  readonly once?: true;
}

export const LOG = "a log of 700 KB";
export const TEXT_8 = "text of 8 MB at panic";
export const STORM = "a storm of 8 MB in normal running";

export const RAW = "ours, raw dump";
export const REFERENCE = "ours, by reference";
export const CONSOLE = "ours, console";
export const ERST = "ERST, default records of 8K";
export const SERIAL = "ttyS0";
export const NO_CONSOLE = "limit: printk, no console";
export const NULL_CONSOLE = "limit: a console that does nothing";
export const FORMATTING = "limit: formatting the log once";

/** Of 100 bytes each, to which the kernel adds its prefix. */
const LOG_LINES = 7000;
const STORM_LINES = 80_000;

const file = (name: string) => (folder: string) => readFileSync(join(folder, name), "utf8");

const dumps = (directory: string) =>
  groupDumps(findRecords(directory).map(decodeRecord))
    .map((dump) => joinDump(dump).toString())
    .join("");

const ourDumps = (folder: string) => dumps(join(folder, "records"));

const ourConsole = (folder: string) =>
  readdirSync(join(folder, "records"))
    .filter((name) => name.startsWith("console-"))
    .map((name) => readFileSync(join(folder, "records", name), "utf8"))
    .join("");

/** No console of this name comes; without the word the screen's would be one, and it costs the most. */
const NO_CONSOLE_WORD = "console=none";
/** Shows all messages. */
const LOUD = "loglevel=8";

/** What is the same for all ways of a group, but for how the text gets out. */
interface Task {
  readonly group: string;
  /** crash's parameters for ways that take the text as it is printed, */
  readonly printing: string;
  /** and for those that take the log at the end; */
  readonly dumping: string;
  /** log_buf_len= for those. */
  readonly logSize: string;
  /** A compressed dump's room on the host. */
  readonly storeSize: string;
  readonly lines: number;
}

const logTask: Task = {
  group: LOG,
  printing: `how=panic panic_lines=${LOG_LINES}`,
  dumping: `how=panic lines=${LOG_LINES}`,
  logSize: "1M",
  storeSize: "4M",
  lines: LOG_LINES,
};

const textTask = (group: string, lines: number, logSize: string, storeSize: string): Task => {
  const crash = `how=panic panic_lines=${lines}`;
  return { group, printing: crash, dumping: crash, logSize, storeSize, lines };
};

const textTasks = [
  textTask("text of 1 MB at panic", 10_000, "2M", "4M"),
  textTask(TEXT_8, STORM_LINES, "16M", "16M"),
];

function limits({ group, printing }: Task): Way[] {
  return [
    { name: NO_CONSOLE, group, crash: printing, append: NO_CONSOLE_WORD },
    {
      name: NULL_CONSOLE,
      group,
      crash: `${printing} sink=null`,
      append: `${NO_CONSOLE_WORD} ${LOUD}`,
    },
  ];
}

const ourConsoleWay = ({ group, printing, lines }: Task): Way => ({
  name: CONSOLE,
  group,
  crash: printing,
  lines,
  arrived: ourConsole,
  append: NO_CONSOLE_WORD,
  driver: "dump=raw",
  device: ["--types", "dmesg,console"],
});

/** Takes the whole log when the guest dies. */
function dumpWays({ group, dumping, logSize, storeSize, lines }: Task): Way[] {
  const append = `${NO_CONSOLE_WORD} log_buf_len=${logSize}`;
  const ours = { group, lines, append, arrived: ourDumps };
  const pstore = {
    ...ours,
    crash: dumping,
    pstoreMount: `kmsg_bytes=${64 << 20}`,
    ...(group === TEXT_8 ? { once: true as const } : {}),
  };
  return [
    {
      ...ours,
      name: RAW,
      crash: group === LOG ? `${dumping} format=3` : dumping,
      driver: "dump=raw",
    },
    ...(group === LOG
      ? [{ ...ours, name: REFERENCE, crash: dumping, driver: "dump=reference" }]
      : []),
    { ...pstore, name: "pstore's own path, our device", driver: "dump=classic" },
    {
      ...pstore,
      name: ERST,
      arrived: erstDumps,
      qemu: (folder) => [
        "-object",
        `memory-backend-file,id=erst,mem-path=${join(folder, "erst")},size=${storeSize},share=on`,
        ...["-device", "acpi-erst,memdev=erst"],
      ],
    },
  ];
}

/** Takes the text as it is printed. */
function consoleWays({ group, printing, lines }: Task): Way[] {
  const common = { group, crash: printing, lines };
  return [
    { ...common, name: SERIAL, append: LOUD, serial: true, arrived: file("serial") },
    {
      ...common,
      ...(group === TEXT_8 ? { once: true as const } : {}),
      name: "hvc0 (virtio-console)",
      append: `console=hvc0 ${LOUD}`,
      modules: ["virtio_console"],
      qemu: (folder) => [
        ...["-device", "virtio-serial-pci", "-device", "virtconsole,chardev=hvc0"],
        ...["-chardev", `file,id=hvc0,path=${join(folder, "hvc0")}`],
      ],
      arrived: file("hvc0"),
    },
    {
      ...common,
      name: "netconsole (vmxnet3)",
      append: `${NO_CONSOLE_WORD} ${LOUD}`,
      modules: [
        ...["vmxnet3", "configfs"],
        "netconsole netconsole=@10.0.2.15/eth0,6666@10.0.2.2/52:55:0a:00:02:02",
      ],
      // vmxnet3 sends within the guest's register write. In front of virtio-net a ring that is full for a jiffy
      // makes netpoll keep all that follows for later, and after a panic that is never.
      // QEMU itself writes each packet to a file: nothing behind it can lose one.
      qemu: (folder) => [
        ...["-netdev", "user,id=net,restrict=on", "-device", "vmxnet3,netdev=net,romfile="],
        ...["-object", `filter-dump,id=dump,netdev=net,file=${join(folder, "packets")}`],
      ],
      arrived: netconsoleText,
    },
  ];
}

/** Ways whose times are compared directly stand beside each other: the machine may change its speed. */
export const ways: readonly Way[] = [
  ...[logTask, ...textTasks].flatMap((task) => [
    ...limits(task),
    ...(task === logTask ? [] : [ourConsoleWay(task)]),
    ...dumpWays(task),
    ...consoleWays(task),
  ]),
  ...stormWays(),
];

function stormWays(): Way[] {
  const crash = `how=lines lines=${STORM_LINES}`;
  const task = { ...logTask, group: STORM, printing: crash, lines: STORM_LINES };
  return [...limits(task), ourConsoleWay(task)];
}

/** Ethernet, IPv4 without options, UDP. */
const PACKET_HEADER_BYTES = 14 + 20 + 8;

/** The UDP payloads of a pcap file, joined: netconsole cuts a message only where it is longer than 1,000 bytes. */
function netconsoleText(folder: string): string {
  const capture = readFileSync(join(folder, "packets"));
  const texts: Buffer[] = [];
  for (let at = 24; at + 16 <= capture.length; ) {
    const length = capture.readUInt32LE(at + 8);
    texts.push(capture.subarray(at + 16 + PACKET_HEADER_BYTES, at + 16 + length));
    at += 16 + length;
  }
  return Buffer.concat(texts).toString();
}

/** Puts ERST's records into files as our store would. */
function erstDumps(folder: string): string {
  const directory = join(folder, "records");
  const store = new ErstFile(join(folder, "erst"));
  for (const [i, slot] of store.slots().entries()) {
    if (slot.record === undefined) throw new Error(slot.damage);
    const { compressed, offset, length } = payloadOf(slot.record);
    writeFileSync(
      join(directory, formatRecordName({ type: "dmesg", id: BigInt(i + 1), compressed })),
      store.read(slot, offset, offset + length),
    );
  }
  store.close();
  return dumps(directory);
}
