import { appendFileSync, existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readEnds } from "../../src/records/index.js";
import { qemuStop } from "../support/negotiations.js";
import { until } from "../support/patience.js";
import { boot, head, PANIC } from "./crashes.js";
import {
  childrenOf,
  connect,
  put,
  type Running,
  run,
  serve,
  start,
  stop,
  temporaryFolder,
} from "./support.js";

const at = (seconds: number, kind: string, id = "-") =>
  `${(seconds - 60) * 1000} ${seconds * 1000} ${kind} ${id}\n`;

const SILENT = `ended without a dump; console-3 ends: [ 9.0] last\\x1b[2J`;

/** web panicked, and later ended without a dump; db did only that, and once without a driver; mail powered off. */
function guests(): string {
  const folder = temporaryFolder();
  const web = join(folder, "web");
  put(join(web, "dmesg-1"), head("Panic", 1, 1) + PANIC, 1000);
  put(join(web, "console-2"), "[    1.0] first\n[    8.0] not the last\n", 3000);
  put(join(web, "console-3"), "[ 9.0] last\u001b[2J\n\n", 3000);
  put(join(web, ".streams"), `${boot} console-2\n${boot} console-3 console-2 40\n`, 3000);
  put(join(web, ".ends"), at(1001, "dumped") + at(3000, "without-dump", boot), 3000);
  put(join(folder, "db", ".ends"), at(500, "no-driver") + at(2000, "without-dump"), 2000);
  put(
    join(folder, "mail", ".ends"),
    `${at(600, "stopped") + at(700, "unknown") + at(800, "of-another-version")}17 1`,
    700,
  );
  return folder;
}

describe("list", () => {
  test("shows guests that ended without a dump among crashes, with their console's last line", async () => {
    const { status, stdout, stderr } = await run(["list", guests()]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const rows = stdout.trimEnd().split("\n");
    expect(rows.slice(1).map((row) => row.split(/ {2,}/))).toEqual([
      [
        "web/dmesg-1",
        expect.anything(),
        "6.1.0-56-cloud-amd64",
        "1",
        expect.anything(),
        expect.stringContaining("kernel panic"),
      ],
      ["db/-", expect.anything(), "-", "-", "-", "ended without a dump"],
      ["web/-", expect.anything(), "-", "-", "-", SILENT],
    ]);
  });

  test("--json tells the same, and since when", async () => {
    const { stdout } = await run(["list", "--json", guests()]);
    expect((JSON.parse(stdout) as object[]).slice(1)).toEqual([
      {
        ...{ kind: "ended", guest: "db", title: "ended without a dump", signature: "" },
        ...{ time: "1970-01-01T00:33:20.000Z", since: "1970-01-01T00:32:20.000Z" },
      },
      {
        ...{ kind: "ended", guest: "web", title: "ended without a dump", signature: "", boot },
        ...{ time: "1970-01-01T00:50:00.000Z", since: "1970-01-01T00:49:00.000Z" },
        ...{ console: "console-3", lastLine: "[ 9.0] last\u001b[2J" },
      },
    ]);
  });

  test("leaves out what its filters leave out", async () => {
    const folder = guests();
    for (const [filter, expected] of [
      [["--guest", "db"], ["db/-"]],
      [["--title", "WITHOUT a dump", "--since", "1970-01-01 00:40"], ["web/-"]],
      [["--signature", "0"], []],
    ] as const) {
      const { stdout } = await run(["list", folder, ...filter]);
      const rows = stdout.trimEnd().split("\n").slice(1);
      expect(rows.map((row) => row.split(" ")[0])).toEqual(expected);
    }
  });

  test("of a guest's own directory, also where there is nothing else", async () => {
    const { stdout, stderr } = await run(["list", join(guests(), "db")]);
    expect(stderr).toBe("");
    expect(stdout).toMatch(/\n- .* ended without a dump\n$/);
  });
});

describe("stats", () => {
  test("counts them for each guest, and those whose driver never came", async () => {
    const { stdout } = await run(["stats", guests()]);
    const table = stdout.split("\n\n").at(-1)?.trimEnd().split("\n") ?? [];
    expect(table.map((row) => row.split(/ {2,}/))).toEqual([
      ["CRASHES", "BOOTS", "NEWEST", "NO DUMP", "NO DRIVER", "GUEST"],
      ["1", "1", expect.anything(), "1", "0", "web"],
      ["0", "0", "-", "1", "1", "db"],
    ]);
  });

  test("--json: and how else guests ended", async () => {
    const { stdout } = await run(["stats", "--json", guests()]);
    const { byGuest } = JSON.parse(stdout) as { byGuest: object[] };
    const none = { stopped: 0, dumped: 0, "without-dump": 0, "no-driver": 0, unknown: 0 };
    expect(byGuest).toMatchObject([
      { guest: "web", crashes: 1, ends: { ...none, dumped: 1, "without-dump": 1 } },
      { guest: "db", crashes: 0, boots: 0, ends: { ...none, "without-dump": 1, "no-driver": 1 } },
      { guest: "mail", crashes: 0, ends: { ...none, stopped: 1, unknown: 1 } },
    ]);
  });

  test("shows them also where records are, but no crash", async () => {
    const folder = temporaryFolder();
    put(join(folder, "web", "console-1"), "[    1.0] last\n", 1000);
    put(join(folder, "web", ".ends"), at(1001, "without-dump"), 1001);
    put(join(folder, "db", "console-1"), "[    1.0] last\n", 1000);
    put(join(folder, "db", ".ends"), at(1001, "stopped"), 1001);
    const { stdout, stderr } = await run(["stats", folder]);
    expect(stderr).toBe("");
    expect(stdout).toMatch(/\nCRASHES +BOOTS +NEWEST +NO DUMP +GUEST\n0 +0 +- +1 +web\n$/);
    // Nothing in the table: then it is said what is there.
    expect((await run(["stats", join(folder, "db")])).stderr).toContain("but other records");
  });

  test("of each kind the newest hundred", async () => {
    const folder = temporaryFolder();
    const times = Array.from({ length: 150 }, (_, i) => 1000 + i);
    const ends = [at(900, "without-dump"), ...times.map((time) => at(time, "no-driver"))];
    put(join(folder, ".ends"), ends.join(""), 2000);
    const { stdout } = await run(["stats", "--json", folder]);
    expect(JSON.parse(stdout)).toMatchObject({
      byGuest: [{ ends: { "without-dump": 1, "no-driver": 100 } }],
    });
  });

  test("has no columns for them where there are none", async () => {
    const folder = temporaryFolder();
    put(join(folder, "dmesg-1"), head("Panic", 1, 1) + PANIC, 1000);
    put(join(folder, ".ends"), at(600, "stopped"), 600);
    expect((await run(["stats", folder])).stdout).toMatch(
      /\nCRASHES {2}BOOTS {2}NEWEST {2}GUEST\n/,
    );
  });
});

describe("watch", () => {
  const exec = `printf '%s|' "$VIRTIO_PSTORE_KIND" "$VIRTIO_PSTORE_GUEST" "$VIRTIO_PSTORE_TITLE" "$VIRTIO_PSTORE_TIME" "$VIRTIO_PSTORE_LAST_LINE" "\${VIRTIO_PSTORE_CRASH-none}"; echo`;

  test("tells each once, and not a poweroff or a guest without a driver", async () => {
    const folder = guests();
    const watch = () => run(["watch", folder, "--once", "--all", "--ends", "--exec", exec]);
    const told = (await watch()).stdout.trimEnd().split("\n");
    expect(told.filter((line) => !line.startsWith("panic"))).toEqual([
      "ended|db|ended without a dump|1970-01-01T00:33:20.000Z||none|",
      `ended|web|ended without a dump|1970-01-01T00:50:00.000Z|[ 9.0] last\\x1b[2J|none|`,
    ]);
    expect((await watch()).stdout).toBe("");
    appendFileSync(join(folder, "mail", ".ends"), at(900, "stopped") + at(4000, "without-dump"));
    // What was cut off before doesn't count, nor does what goes on behind it.
    appendFileSync(join(folder, "mail", ".ends"), at(4001, "without-dump"));
    expect((await watch()).stdout.trimEnd().split("\n")).toEqual([
      "ended|mail|ended without a dump|1970-01-01T01:06:40.000Z||none|",
      "ended|mail|ended without a dump|1970-01-01T01:06:41.000Z||none|",
    ]);
  });

  test("without --ends runs the command for crashes only, and with it later for those that came", async () => {
    const folder = guests();
    const watch = async (...options: readonly string[]) =>
      (await run(["watch", folder, "--once", "--exec", exec, ...options])).stdout;
    expect(await watch("--all")).toMatch(/^panic\|web\|.*\n$/);
    expect((await watch("--ends")).trimEnd().split("\n")).toHaveLength(2);
    const quiet = guests();
    expect((await run(["watch", quiet, "--once", "--exec", exec])).stdout).toBe("");
    expect((await run(["watch", quiet, "--once", "--ends", "--exec", exec])).stdout).toBe("");
  });

  test("makes its file anew only where it holds what is gone", async () => {
    const folder = temporaryFolder();
    const ends = Array.from({ length: 100 }, (_, i) => at(1000 + i, "without-dump")).join("");
    for (let i = 0; i < 11; i++) put(join(folder, `guest-${i}`, ".ends"), ends, 2000);
    put(join(folder, "guest-0", "console-1"), "one\n", 2000);
    const watch = () => run(["watch", folder, "--once", "--exec", exec]);
    await watch();
    const { ino } = statSync(join(folder, ".watched"));
    await watch();
    expect(statSync(join(folder, ".watched")).ino).toBe(ino);
  });

  test("takes what is there for known at first, and sees what comes though no record does", async () => {
    const folder = guests();
    const out = join(temporaryFolder(), "told");
    const watching = start(["watch", folder, "--ends", "--exec", `(${exec}) >> ${out}`]);
    const watched = join(folder, ".watched");
    await until(
      () => existsSync(watched) && readFileSync(watched, "utf8").includes("db/end 2000000"),
      watching.stderr,
    );
    appendFileSync(join(folder, "db", ".ends"), at(5000, "without-dump"));
    const told = () => (existsSync(out) ? readFileSync(out, "utf8") : "");
    await until(() => told().endsWith("\n"), told);
    expect(told()).toBe("ended|db|ended without a dump|1970-01-01T01:23:20.000Z||none|\n");
    expect((await stop(watching)).status).toBe(0);
  });
});

describe("a daemon that is killed", () => {
  const DMESG = 1;

  const served = async () => {
    const folder = temporaryFolder();
    const [socket, records] = [join(folder, "socket"), join(folder, "records")];
    const server = await serve(["--socket-path", socket, "--directory", records, "--json"]);
    return { server, socket, records };
  };

  async function kill(server: Running): Promise<void> {
    process.kill(childrenOf(server)[0] ?? 0, "SIGKILL");
    await server.says(/"kind":"restarted"/);
  }

  test.each([
    ["the guest's dump", async () => undefined, "dumped", "Panic#1 Part1\n"],
    ["that there is none", async () => undefined, "without-dump", "Oops#1 Part1\n"],
    ["that its driver stopped", qemuStop, "stopped", "Oops#1 Part1\n"],
  ] as const)(
    "leaves %s to the next one, and since when it was connected",
    async (_, act, end, text) => {
      const { server, socket, records } = await served();
      const before = Date.now();
      const guest = await connect(socket);
      await guest.driver.write({ type: DMESG }, Buffer.from(text));
      const connected = Date.now();
      await act(guest.frontEnd, guest.driver.queues);
      await kill(server);
      guest.close();
      await server.says(/"kind":"disconnected"/);
      const { stdout } = await stop(server);
      expect(stdout).toContain(`"end":"${end}"`);
      const [kept, ...more] = readEnds(records);
      expect(more).toEqual([]);
      expect(kept?.kind).toBe(end);
      expect(kept?.connectedMs).toBeGreaterThanOrEqual(before);
      expect(kept?.connectedMs).toBeLessThanOrEqual(connected);
    },
  );

  test("that is stopped while a guest runs knows nothing of its end", async () => {
    const { server, socket, records } = await served();
    await connect(socket);
    await stop(server);
    expect(readEnds(records)).toEqual([]);
  });
});
