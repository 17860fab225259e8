// npm run soak: see --help.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { PATIENCE_MS } from "../support/patience.js";
import { checkGuest } from "./check.js";
import { SoakGuest } from "./guest.js";

const HELP = `Usage: npm run soak -- [--rounds N] [--guests N]

Simulated guests (200) boot, print, crash, leave and misbehave against one serve. A round (of 20) lasts until
so much was acknowledged; at its end the daemon is killed, in every third the disk was full until so much was
refused. At the end everything that was acknowledged must be there, whole and once, and neither memory nor
descriptors may have grown.
`;

const program = fileURLToPath(new URL("../../../bin/virtio-pstore", import.meta.url));

/** Of each guest, on average. */
const ACKNOWLEDGED_PER_ROUND = 5;
const REFUSED_PER_ROUND = 1;
/** The disk gets full in every so many rounds. */
const FULL_EVERY = 3;
const LOOK_MS = 20;
const DISK_BYTES = 512 << 20;
const SAMPLE_MS = 1000;

/** What may grow between the first third of the samples and the last: half as much again, and so much. */
const RSS_SLACK_BYTES = 64 << 20;
const DESCRIPTOR_SLACK = 100;

/** A process's memory, and its open descriptors. */
interface Sample {
  readonly rssBytes: number;
  readonly descriptors: number;
}

interface Disk {
  readonly path: string;
  readonly canFill: boolean;
  remove(): void;
}

/** A file system of its own where that is permitted. */
function makeDisk(folder: string): Disk {
  const path = join(folder, "disk");
  mkdirSync(path);
  const size = `size=${DISK_BYTES}`;
  const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", size, "none", path]);
  return {
    path,
    canFill: status === 0,
    remove: () => {
      if (status === 0) spawnSync("umount", ["-l", path]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The supervisor's child; undefined between two. */
function daemonOf({ pid }: ChildProcess): number | undefined {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim().split(" ");
  return children[0] === "" ? undefined : Number(children[0]);
}

/** Undefined where the process is just gone. */
function sampleOf(pid: number): Sample | undefined {
  try {
    const pages = Number(readFileSync(`/proc/${pid}/statm`, "latin1").split(" ")[1]);
    return { rssBytes: pages * 4096, descriptors: readdirSync(`/proc/${pid}/fd`).length };
  } catch {
    return undefined;
  }
}

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 0;

/** What grew, a line each; and a line that says how it was. */
function growth(name: string, samples: readonly Sample[]): { wrong: string[]; line: string } {
  const third = Math.floor(samples.length / 3);
  const first = samples.slice(third, 2 * third);
  const last = samples.slice(-third);
  const wrong: string[] = [];
  const rss = [first, last].map((some) => median(some.map(({ rssBytes }) => rssBytes)));
  const fds = [first, last].map((some) => median(some.map(({ descriptors }) => descriptors)));
  const [rssBefore = 0, rssAfter = 0] = rss;
  const [fdsBefore = 0, fdsAfter = 0] = fds;
  const mib = (bytes: number) => Math.round(bytes / (1 << 20));
  const line = `${name}: memory ${mib(rssBefore)} MiB, at the end ${mib(rssAfter)} MiB; descriptors ${fdsBefore}, at the end ${fdsAfter}`;
  if (rssAfter > 1.5 * rssBefore + RSS_SLACK_BYTES) wrong.push(`memory grew: ${line}`);
  if (fdsAfter > fdsBefore + DESCRIPTOR_SLACK) wrong.push(`descriptors grew: ${line}`);
  return { wrong, line };
}

/** Fills a disk until free() is called. */
function fill(disk: Disk): { free(): void } {
  const ballast = join(disk.path, "ballast");
  try {
    writeFileSync(ballast, Buffer.alloc(DISK_BYTES));
  } catch {
    // As much as there was room for.
  }
  return {
    free: () => {
      rmSync(ballast, { force: true });
    },
  };
}

async function soak(rounds: number, guestCount: number): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "soak-"));
  const disk = makeDisk(folder);
  let over = false;
  const isOver = () => over;
  const guests = Array.from({ length: guestCount }, (_, i) => {
    const name = `guest${String(i).padStart(3, "0")}`;
    return new SoakGuest(name, join(folder, `${name}.socket`), isOver);
  });
  const sum = (of: (guest: SoakGuest) => number) => guests.reduce((all, one) => all + of(one), 0);
  const acknowledged = () => sum((guest) => guest.acknowledged);
  const refused = () => sum((guest) => guest.refused);
  const sockets = guests.flatMap(({ name }) => ["--guest", `${name}=${folder}/${name}.socket`]);
  const room = ["--max-records", "100000", "--max-bytes", "1G"];
  const serve = ["serve", "--directory", disk.path, "--console", ...room, ...sockets];
  const server = spawn(program, serve, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  server.stderr.on("data", (text: Buffer) => {
    said = (said + text.toString()).slice(-1 << 20);
  });
  const ended = new Promise((resolve) => server.on("exit", resolve));
  const wrong: string[] = [];
  const daemonSamples: Sample[] = [];
  const supervisorSamples: Sample[] = [];
  let kills = 0;
  let timesFull = 0;

  /** Waits until there are so many more of something, however long that takes, as long as there are answers. */
  const untilMore = async (count: () => number, more: number) => {
    const enough = count() + more;
    const answers = () => acknowledged() + refused();
    let answered = answers();
    for (let since = performance.now(); wrong.length === 0 && count() < enough; ) {
      await sleep(LOOK_MS);
      if (answers() > answered) since = performance.now();
      answered = answers();
      if (performance.now() - since > PATIENCE_MS) {
        wrong.push(`nothing is answered any more, after ${answered} answers`);
      }
    }
  };
  const goRound = async (round: number) => {
    if (process.stderr.isTTY) process.stderr.write(`\rround ${round} of ${rounds} `);
    await untilMore(acknowledged, ACKNOWLEDGED_PER_ROUND * guestCount);
    if (disk.canFill && round % FULL_EVERY === 0) {
      const ballast = fill(disk);
      await untilMore(refused, REFUSED_PER_ROUND * guestCount);
      ballast.free();
      timesFull++;
    }
    const daemon = daemonOf(server);
    if (daemon === undefined) return;
    process.kill(daemon, "SIGKILL");
    kills++;
  };
  const sampling = async () => {
    while (!isOver()) {
      await sleep(SAMPLE_MS);
      const daemon = daemonOf(server);
      const sample = daemon === undefined ? undefined : sampleOf(daemon);
      if (sample !== undefined) daemonSamples.push(sample);
      const own = server.pid === undefined ? undefined : sampleOf(server.pid);
      if (own !== undefined) supervisorSamples.push(own);
    }
  };
  try {
    while (!said.includes(" is served")) {
      if (server.exitCode !== null) throw new Error(`serve ended: ${said}`);
      await sleep(LOOK_MS);
    }
    const running = guests.map(async (guest) => {
      try {
        await guest.run();
      } catch (error) {
        wrong.push(`${guest.name}: ${error instanceof Error ? error.message : String(error)}`);
      }
    });
    const sampled = sampling();
    for (let round = 1; round <= rounds && wrong.length === 0; round++) await goRound(round);
    over = true;
    await Promise.all([...running, sampled]);
    server.kill("SIGTERM");
    await ended;
    for (const guest of guests) wrong.push(...checkGuest(disk.path, guest));
    const daemon = growth("daemon", daemonSamples);
    const supervisor = growth("supervisor", supervisorSamples);
    wrong.push(...daemon.wrong, ...supervisor.wrong);
    console.log(
      `${guestCount} guests, ${sum(({ boots }) => boots)} boots, ${sum(({ misbehaved }) => misbehaved)} of them ended by misbehaving; ` +
        `the daemon was killed ${kills} times, the disk was full ${timesFull} times${disk.canFill ? "" : " (no tmpfs could be mounted)"}`,
    );
    const lost = sum((guest) => guest.lost);
    console.log(`${lost} connections lost by a daemon that was killed just behind accept(2)`);
    // It accepts one after the other.
    if (lost > kills) wrong.push(`${lost} connections were lost in ${kills} kills`);
    const unanswered = sum(({ sent }) => sent.filter(({ ret }) => ret === undefined).length);
    console.log(`${acknowledged()} acknowledged, ${refused()} refused, ${unanswered} unanswered`);
    console.log(`${daemon.line}\n${supervisor.line}`);
    if (wrong.length > 0) wrong.push(`serve's last lines:\n${said.slice(-4000)}`);
    return wrong;
  } finally {
    server.kill("SIGKILL");
    disk.remove();
  }
}

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "20" },
    guests: { type: "string", default: "200" },
    help: { type: "boolean", default: false },
  },
});
const rounds = Number(values.rounds);
const count = Number(values.guests);
const isCount = (number: number) => Number.isInteger(number) && number >= 1 && number <= 999;
if (values.help) {
  process.stdout.write(HELP);
} else if (!isCount(rounds) || !isCount(count)) {
  console.error(HELP);
  process.exitCode = 2;
} else {
  const wrong = await soak(rounds, count);
  for (const line of wrong.slice(0, 50)) console.error(line);
  if (wrong.length > 50) console.error(`… and ${wrong.length - 50} more`);
  console.log(wrong.length === 0 ? "everything acknowledged is there, whole and once" : "FAILED");
  process.exitCode = wrong.length === 0 ? 0 : 1;
}
