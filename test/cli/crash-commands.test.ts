import { execFileSync, spawnSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { deflateRawSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { SECTION_MCE } from "../../src/formats/erst/guid.js";
import { encodeStore, type TestRecord } from "../support/erst-records.js";
import { until } from "../support/patience.js";
import { guests, head, log, PANIC } from "./crashes.js";
import { complaint, program, put, run, script, start, stop, temporaryFolder } from "./support.js";

/** The program's clock stands still there, however busy the machine is. */
const at = (seconds: number) => ({
  env: { NODE_OPTIONS: `--import=data:text/javascript,Date.now=()=>${seconds * 1000}` },
});

const records = (folder: string) => readdirSync(folder).filter((name) => !name.startsWith("."));

describe("rm", () => {
  test("removes a crash's records and those of its trace, and nothing else", async () => {
    const folder = guests();
    const dry = await run(["rm", folder, "web/dmesg-2", "--dry-run"]);
    expect(dry.stdout).toMatch(/^would remove web\/dmesg-2 \(3 records, .*: kernel panic: sysrq/);
    expect(records(join(folder, "web"))).toHaveLength(6);
    const done = await run(["rm", folder, "web/dmesg-2"]);
    expect(done).toMatchObject({ status: 0, stderr: "" });
    expect(done.stdout).toMatch(/^removed web\/dmesg-2 \(3 records/);
    expect(records(join(folder, "web"))).toEqual(["console-5", "dmesg-1", "pmsg-6"]);
    await run(["rm", folder, "--guest", "web", "--streams"]);
    expect(records(join(folder, "web"))).toEqual([]);
    expect(records(join(folder, "db"))).toEqual(["dmesg-1"]);
  });

  test("what crashes share is removed once", async () => {
    const folder = guests();
    const names = ["web/dmesg-1", "web/dmesg-2", "web/3"];
    const done = await run(["rm", folder, ...names, "--streams"]);
    expect(done).toMatchObject({ status: 0, stderr: "" });
    expect(done.stdout).toMatch(/^removed web\/dmesg-1 \(3 .*\nremoved web\/dmesg-2 \(3 .*\n$/);
    expect(records(join(folder, "web"))).toEqual([]);
  });

  test("needs a name or a filter: status 2; and finds something: status 1", async () => {
    const folder = guests();
    expect((await run(["rm", folder])).status).toBe(2);
    expect((await run(["rm", folder, "1", "--guest", "web"])).status).toBe(2);
    // As `--title "$UNSET"` in a script.
    for (const filter of ["--title", "--signature", "--guest"]) {
      expect((await run(["rm", folder, filter, ""])).status).toBe(2);
    }
    for (const what of [["web/dmesg-9"], ["--title", "nothing like it"]]) {
      const { status, stderr } = await run(["rm", folder, ...what]);
      expect(status).toBe(1);
      expect(stderr).toContain(`${folder} holds no crash`);
    }
    expect(records(folder)).toHaveLength(2);
  });

  test("removes a record that is no crash's by the name that list --records tells", async () => {
    const folder = guests();
    put(join(folder, "db", "cper-0000000000000002"), "no record", 2000);
    put(join(folder, "db", "console-5"), "printed\n", 2001);
    const both = await run(["rm", folder, "console-5"]);
    expect(both).toMatchObject({ status: 1, stdout: "" });
    expect(complaint(both)).toEqual([
      "virtio-pstore: console-5 could be db/console-5 or web/console-5: say which",
    ]);
    expect(await run(["rm", folder, "cper-0000000000000002", "db/console-5"])).toEqual({
      status: 0,
      stdout: [
        "removed db/cper-0000000000000002 (1 record, 9): unknown\n",
        "removed db/console-5 (1 record, 8): console\n",
      ].join(""),
      stderr: "",
    });
    expect(records(join(folder, "db"))).toEqual(["dmesg-1"]);
    expect(records(join(folder, "web"))).toHaveLength(6);
    const erst = join(folder, "vm.erst");
    const mce = { id: 2n, sections: [{ type: SECTION_MCE, body: Buffer.alloc(8) }] };
    writeFileSync(erst, encodeStore({ records: [mce] }));
    const listed = (await run(["list", "--records", erst])).stdout.split("\n")[1] ?? "";
    const [name = ""] = listed.split(" ");
    const { status, stdout } = await run(["rm", erst, name]);
    expect({ status, stdout }).toEqual({
      status: 0,
      stdout: expect.stringMatching(/^removed mce-erst-2 \(1 record, .*\): mce\n$/),
    });
    expect((await run(["erst", "info", erst])).stdout).toContain("0 of 7 slots used");
  });

  test("removes no part of a crash's trace alone", async () => {
    const folder = guests();
    const ended = await run(["rm", folder, "ftrace-4"]);
    expect(ended).toMatchObject({ status: 1, stdout: "" });
    expect(complaint(ended)).toEqual([
      "virtio-pstore: ftrace-4 is of the trace of web/dmesg-2, and goes with it: name that",
    ]);
    expect(records(join(folder, "web"))).toHaveLength(6);
  });

  test("leaves what may still be written: a dump without its end, a console", async () => {
    const folder = guests();
    const now = 4000;
    put(join(folder, "db", "dmesg-2"), head("Panic", 3, 1, "") + PANIC, now);
    const dump = await run(["rm", folder, "db/dmesg-2"], at(now + 9));
    expect(dump).toMatchObject({ status: 1, stdout: "" });
    expect(dump.stderr).toMatch(/db\/dmesg-2 is left: .* may still be written/);
    put(join(folder, "web", "console-5"), "printing\n", now);
    expect((await run(["rm", folder, "web/dmesg-2", "--streams"], at(now + 9))).status).toBe(1);
    expect(records(join(folder, "web"))).toHaveLength(6);
  });
});

describe("export", () => {
  test("makes a folder as systemd-pstore does, and replaces none", async () => {
    const folder = guests();
    const output = temporaryFolder();
    const { status, stdout } = await run(["export", folder, "web/dmesg-2", "-o", output]);
    expect({ status, stdout }).toEqual({ status: 0, stdout: `${output}/web/2\n` });
    const made = join(output, "web", "2");
    expect(readdirSync(made)).toEqual([
      ...["console.txt", "crash.json", "dmesg-virtio-2", "dmesg-virtio-3", "dmesg.txt"],
      ...["ftrace-virtio-4", "ftrace.json", "ftrace.txt", "pmsg.txt"],
    ]);
    const text = (name: string) => readFileSync(join(made, name), "utf8");
    expect(text("dmesg.txt")).toBe(`${PANIC}<4>end\\x1b\n`);
    expect(text("dmesg-virtio-3")).toBe(`${head("Panic", 2, 2)}<4>end\u001b\n`);
    expect([text("console.txt"), text("pmsg.txt"), text("ftrace.txt")]).toEqual([
      ...["printed\n", "user space\n", "a call\n"],
    ]);
    expect(JSON.parse(text("crash.json"))).toMatchObject({ name: "web/dmesg-2", guest: "web" });
    expect(statSync(join(made, "dmesg.txt")).mode & 0o777).toBe(0o600);
    // It can be read as a directory of records.
    const [crash] = JSON.parse((await run(["list", made, "--json"])).stdout) as unknown[];
    const {
      name,
      guest,
      records: parts,
      ...same
    } = JSON.parse(text("crash.json")) as Record<string, unknown>;
    expect(crash).toMatchObject(same);
    expect(parts).toHaveLength(2);
    expect((await run(["show", made, "--ftrace"])).stdout).toBe("a call\n");
    const above = JSON.parse((await run(["list", output, "--json"])).stdout) as unknown;
    expect(above).toMatchObject([{ name: "web/dmesg-virtio-2", guest: "web" }]);
    const again = await run(["export", folder, "web/dmesg-2", "-o", output]);
    expect(again).toMatchObject({ status: 1, stdout: "" });
    expect(complaint(again)).toEqual([
      `virtio-pstore: ${made} is there already: name another --output`,
    ]);
    expect(readdirSync(join(output, "web"))).toEqual(["2"]);
  });

  test("follows no link in the place of a guest's folder", async () => {
    const output = temporaryFolder();
    const other = temporaryFolder();
    symlinkSync(other, join(output, "web"));
    const ended = await run(["export", guests(), "web/dmesg-2", "-o", output]);
    expect(ended).toMatchObject({ status: 1, stdout: "" });
    expect(complaint(ended)).toEqual([
      `virtio-pstore: ${output}/web is a symbolic link: make it a directory`,
    ]);
    expect(readdirSync(other)).toEqual([]);
  });

  test("packs the same into a .tar.gz, which anybody's tar reads", async () => {
    const output = join(temporaryFolder(), "crash.tar.gz");
    expect((await run(["export", guests(), "2", "-o", output])).stdout).toBe(`${output}\n`);
    const listed = execFileSync("tar", ["-tzf", output], { encoding: "utf8" }).trim().split("\n");
    expect(listed).toContain("web/2/dmesg.txt");
    expect(listed).toHaveLength(10);
    expect(statSync(output).mode & 0o777).toBe(0o600);
    // Names that tar, or what is made on the way, could take for something else.
    for (const guest of ["-x", "whole"]) {
      const folder = temporaryFolder();
      put(join(folder, guest, "dmesg-1"), head("Panic", 1, 1) + PANIC, 1000);
      const packed = join(temporaryFolder(), "crash.tgz");
      expect(await run(["export", folder, "-o", packed])).toMatchObject({ status: 0 });
      const names = execFileSync("tar", ["-tzf", packed], { encoding: "utf8" });
      expect(names).toContain(`${guest}/1/dmesg.txt\n`);
    }
    const archive = join(temporaryFolder(), "crash.tar.xz");
    expect(await run(["export", guests(), "2", "-o", archive])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("An archive's name ends in .tar.gz."),
    });
    for (const nothing of ["-", ""]) {
      expect((await run(["export", guests(), "2", "-o", nothing])).status).toBe(2);
    }
    const capitals = join(temporaryFolder(), "R.TAR.GZ");
    await run(["export", guests(), "web/2", "-o", capitals]);
    expect(execFileSync("tar", ["-tzf", capitals], { encoding: "utf8" })).toBe(
      `${listed.join("\n")}\n`,
    );
    const there = join(temporaryFolder(), "reports.tar");
    mkdirSync(there);
    expect((await run(["export", guests(), "web/2", "-o", there])).stdout).toBe(`${there}/web/2\n`);
    const folder = join(temporaryFolder(), "reports.txt");
    expect((await run(["export", guests(), "web/2", "-o", folder])).stdout).toBe(
      `${folder}/web/2\n`,
    );
  });

  test("makes no directory above the one that is named", async () => {
    const above = temporaryFolder();
    for (const name of ["none/out", "none/crash.tgz", "none/crash.json"]) {
      const ended = await run(["export", guests(), "web/2", "-o", join(above, name)]);
      expect(ended).toMatchObject({ status: 1, stdout: "" });
      expect(complaint(ended)).toEqual([
        `virtio-pstore: ${above}/none: no such directory: make it first`,
      ]);
    }
    expect(readdirSync(above)).toEqual([]);
  });

  test.each(["out", "crash.tgz", "crash.json"])(
    "leaves nothing of %s where it is interrupted",
    async (name) => {
      const folder = guests();
      put(join(folder, "web", "console-5"), "a line\n".repeat(500_000), 1004);
      put(
        join(folder, "web", "dmesg-3"),
        `${head("Panic", 2, 2)}${"a line\n".repeat(500_000)}`,
        1002,
      );
      const above = temporaryFolder();
      // Each write takes long enough for the signal to come in their midst.
      const slow = join(temporaryFolder(), "slow.cjs");
      writeFileSync(
        slow,
        `const fs = require("node:fs");
        const real = fs.writeFileSync;
        fs.writeFileSync = (...args) => {
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
          return real(...args);
        };
        require("node:module").syncBuiltinESMExports();`,
      );
      const exporting = start(["export", folder, "web/2", "-o", join(above, name)], {
        env: { NODE_OPTIONS: `--require ${slow}` },
      });
      const isBegun = () =>
        readdirSync(above, { recursive: true }).some((one) => /whole|tree/.test(String(one)));
      await until(isBegun, () => "the export doesn't begin");
      expect((await stop(exporting)).status).toBe("SIGTERM");
      expect(readdirSync(above)).toEqual([]);
    },
  );

  test("writes JSON; the newest crash where none is named", async () => {
    const output = join(temporaryFolder(), "crash.json");
    await run(["export", guests(), "-o", output]);
    expect(JSON.parse(readFileSync(output, "utf8"))).toMatchObject({
      name: "db/dmesg-1",
      log: log("Kernel panic - not syncing: other"),
    });
  });
});

test("stats counts by signature and by guest, and tells boots from crashes", async () => {
  const folder = guests();
  const { stdout } = await run(["stats", folder]);
  const rows = stdout.split("\n").map((line) => line.split(/ {2,}/));
  const [, most, other, , , web, db] = rows;
  expect([most?.[0], most?.[1], most?.[2], most?.at(-1)]).toEqual([
    ...["2", "1", "1", "kernel panic: sysrq triggered crash"],
  ]);
  expect(other?.at(-1)).toBe("kernel panic: other");
  expect([web?.[0], web?.[1], web?.at(-1), db?.[0], db?.at(-1)]).toEqual([
    "2",
    "1",
    "web",
    "1",
    "db",
  ]);
  const json = JSON.parse((await run(["stats", folder, "--json"])).stdout) as unknown;
  expect(json).toMatchObject({
    bySignature: [
      { crashes: 2, boots: 1, guests: ["web"] },
      { crashes: 1, guests: ["db"] },
    ],
    byGuest: [{ guest: "web", crashes: 2 }, { guest: "db" }],
  });
  // The newest crash's alone, and of one guest.
  expect(JSON.stringify(json)).not.toMatch(/"(?:cpu|pid|task|release)"/);
  expect(JSON.stringify(json).match(/"guests"/g)).toHaveLength(2);
});

test("stats doesn't count as one bug what has no signature", async () => {
  const folder = temporaryFolder();
  put(join(folder, "dmesg-1"), "Oops#1 Part1\n<4>WARNING: CPU: 0 PID: 7 at a.c:1 0xffff\n", 1000);
  put(join(folder, "dmesg-2"), "Oops#1 Part1\n<4>WARNING: CPU: 1 PID: 8 at b.c:2 0xeeee\n", 2000);
  put(join(folder, "dmesg-3"), "Restart#1 Part1\n<4>bye\n", 3000);
  const { stdout } = await run(["stats", folder]);
  expect(stdout).toMatch(
    /NO SIGNATURE: MAY BE DIFFERENT BUGS\n2 .*WARNING in corrupted\n1 .*Restart\n/,
  );
  expect(JSON.parse((await run(["stats", folder, "--json"])).stdout)).toMatchObject({
    bySignature: [],
    withoutSignature: [{ title: "WARNING in corrupted", crashes: 2 }, { title: "Restart" }],
  });
});

test("docs/json.md tells every field", async () => {
  const docs = readFileSync(join(import.meta.dirname, "../../docs/json.md"), "utf8");
  const folder = guests();
  const commands = [["list"], ["list", "--records"], ["show"], ["stats"]];
  for (const command of commands) {
    const { stdout } = await run([...command, folder, "--json"]);
    const keys = [...stdout.matchAll(/^ *"(\w+)":/gm)].map(([, key]) => key);
    expect(keys.length).toBeGreaterThan(5);
    for (const key of new Set(keys)) expect(docs).toContain(`\`${key}\``);
  }
});

describe("watch", () => {
  test("runs the command once for each new crash, with its facts, also across restarts", async () => {
    const folder = guests();
    const out = join(temporaryFolder(), "told");
    const exec = `echo "$VIRTIO_PSTORE_CRASH|$VIRTIO_PSTORE_GUEST|$VIRTIO_PSTORE_TITLE|$VIRTIO_PSTORE_CPU|$VIRTIO_PSTORE_PATH" >> ${out}`;
    const told = () => (existsSync(out) ? readFileSync(out, "utf8") : "");
    const watching = start(["watch", folder, "--exec", exec]);
    const watched = join(folder, ".watched");
    // What is there already is known then.
    const known = () => existsSync(watched) && readFileSync(watched, "utf8") !== "";
    await until(known, watching.stderr);
    put(join(folder, "db", "dmesg-3"), head("Panic", 1, 1) + PANIC, 3000);
    const first = `db/dmesg-3|db|kernel panic: sysrq triggered crash|3|${folder}\n`;
    await until(() => told() === first, told);
    expect((await stop(watching)).status).toBe(0);
    // While nobody watched, a crash came, of which the last part isn't there yet.
    put(join(folder, "web", "dmesg-7"), head("Panic", 3, 1) + PANIC, 3001);
    const now = 4000;
    put(join(folder, "web", "dmesg-8"), head("Panic", 4, 1, "") + PANIC, now);
    const once = await run(["watch", folder, "--once", "--exec", `${exec}; exit 3`], at(now + 9));
    const both = `${first}web/dmesg-7|web|kernel panic: sysrq triggered crash|3|${folder}\n`;
    expect(told()).toBe(both);
    expect(once).toMatchObject({ status: 0 });
    expect(once.stderr).toContain("web/dmesg-7: the command ended with status 3");
    put(join(folder, "web", "dmesg-9"), head("Panic", 4, 2), now + 1);
    await run(["watch", folder, "--once", "--exec", exec], at(now + 9));
    expect(
      told()
        .split("\n")
        .map((line) => line.split("|")[0]),
    ).toEqual([...["db/dmesg-3", "web/dmesg-7", "web/dmesg-8", ""]]);
  });

  test("the command of docs/commands.md lets a guest's title begin no line of its own", async () => {
    const docs = readFileSync(join(import.meta.dirname, "../../docs/commands.md"), "utf8");
    const [, shown = ""] = /^ *\$ virtio-pstore (watch crashes --exec '.*')$/m.exec(docs) ?? [];
    expect(shown).toContain("| mail -s crash root");
    const folder = temporaryFolder();
    const title = "Kernel panic - not syncing: x\\n~! touch y\\c";
    put(join(folder, "db", "dmesg-1"), head("Panic", 1, 1) + log(title), 1000);
    const command = shown.replace("mail -s crash root", "cat").replace("crashes", folder);
    const line = `${program} ${command} --once --all`;
    const { stdout } = await run(["-c", line], { command: "/bin/sh" });
    expect(stdout).toBe("db: kernel panic: x\\n~! touch y\\c\n");
  });

  test.each([["--exec"], ["--exec", "true", "--state"]])(
    "an empty value of %j %j: status 2",
    async (...options) => {
      const ended = await run(["watch", guests(), "--once", ...options, ""]);
      expect(ended.status).toBe(2);
      expect(complaint(ended)[0]).toContain("is invalid. It is empty.");
    },
  );

  test("runs it once for a guest whose name holds a line's end, too", async () => {
    const folder = temporaryFolder();
    put(join(folder, "a\nb", "dmesg-1"), head("Panic", 1, 1) + PANIC, 1000);
    const watch = () => run(["watch", folder, "--once", "--all", "--exec", "echo told"]);
    expect((await watch()).stdout).toBe("told\n");
    expect((await watch()).stdout).toBe("");
  });

  test("takes what its filters leave out as known, too, when it begins", async () => {
    const folder = guests();
    const watch = (...filter: readonly string[]) =>
      run(["watch", folder, "--once", ...filter, "--exec", "echo $VIRTIO_PSTORE_CRASH"]);
    expect((await watch("--guest", "db")).stdout).toBe("");
    expect((await watch()).stdout).toBe("");
  });

  test("notices a crash in an ERST file though the file's time stays, and waits for all of it", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "web.erst");
    // The guest's clock is far from the host's.
    const part = (id: bigint, text: string) => ({
      id,
      timestamp: 1_000_000_000n,
      body: deflateRawSync(text),
    });
    const first = part(1n, `Panic#1 Part1\n${PANIC}`);
    const second = part(0x6a5f_0000_0000_0001n, `Panic#2 Part1\n${PANIC}`);
    put(path, encodeStore({ records: [first] }), 1000);
    const whole = join(folder, "whole");
    const exec = `echo $VIRTIO_PSTORE_CRASH $VIRTIO_PSTORE_GUEST $(cat ${whole})`;
    const state = join(folder, "state");
    const watching = start(["watch", path, "--state", state, "--exec", exec]);
    const known = () => existsSync(state) && readFileSync(state, "utf8") !== "";
    await until(known, watching.stderr);
    // In place, as QEMU does.
    const write = (records: readonly TestRecord[]) => {
      writeFileSync(path, encodeStore({ records }), { flag: "r+" });
      utimesSync(path, 1000, 1000);
    };
    write([first, second]);
    await sleep(3000);
    write([first, second, part(0x6a5f_0000_0000_0002n, "Panic#2 Part2\nbefore it\n")]);
    writeFileSync(whole, "when it was whole");
    await watching.says(/^dmesg-erst-/);
    expect(await stop(watching)).toEqual({
      status: 0,
      stdout: `dmesg-erst-${0x6a5f_0000_0000_0001n} web when it was whole\n`,
      stderr: "",
    });
    const records = await run(["list", "--records", "--json", path]);
    expect((JSON.parse(records.stdout) as { id: unknown }[]).map(({ id }) => id)).toEqual([
      "1",
      `${0x6a5f_0000_0000_0001n}`,
      `${0x6a5f_0000_0000_0002n}`,
    ]);
    expect((await run(["list", path, "--guest", "web"])).stdout).toContain("dmesg-erst-1 ");
  });

  const once = (folder: string, ...more: readonly string[]) =>
    run(["watch", folder, "--once", ...more, "--exec", "echo $VIRTIO_PSTORE_CRASH"]);

  test("doesn't tell a crash again whose first record is gone, or was compressed", async () => {
    const folder = guests();
    expect((await once(folder, "--all")).stdout).toBe("web/dmesg-1\ndb/dmesg-1\nweb/dmesg-2\n");
    unlinkSync(join(folder, "web", "dmesg-2"));
    const path = join(folder, "db", "dmesg-1");
    // gzip keeps the time.
    put(`${path}.gz`, gzipSync(readFileSync(path)), statSync(path).mtimeMs / 1000);
    unlinkSync(path);
    expect((await once(folder)).stdout).toBe("");
  });

  test("tells a crash that has the name of one before it, as where a guest was made anew", async () => {
    const folder = guests();
    await once(folder);
    rmSync(join(folder, "db"), { recursive: true });
    put(join(folder, "db", "dmesg-1"), head("Panic", 1, 1) + PANIC, 3000);
    expect((await once(folder)).stdout).toBe("db/dmesg-1\n");
  });

  test("tells a crash again that has grown, and once", async () => {
    const folder = guests();
    put(join(folder, "db", "dmesg-5"), `${head("Panic", 7, 1, "")}a line\n`, 3000);
    await once(folder);
    put(join(folder, "db", "dmesg-6"), head("Panic", 7, 2) + PANIC, 3060);
    expect((await once(folder)).stdout).toBe("db/dmesg-5\n");
    unlinkSync(join(folder, "db", "dmesg-5"));
    expect((await once(folder)).stdout).toBe("");
  });

  test("ends at once by SIGTERM, however many crashes it has to read", async () => {
    const folder = temporaryFolder();
    // Each takes some 10 ms to read.
    const bomb = deflateRawSync(`Panic#1 Part1\n${"BUG: a\n".repeat(140_000)}`);
    for (let id = 1; id <= 1000; id++) put(join(folder, `dmesg-${id}.enc.z`), bomb, id * 100);
    const watching = start(["watch", folder, "--all", "--title", "none", "--exec", "true"]);
    await until(() => existsSync(join(folder, ".watched")), watching.stderr);
    expect(await stop(watching)).toMatchObject({ status: 0 });
    // As far as it came.
    const titles = readFileSync(join(folder, ".index"), "utf8").match(/"title"/g) ?? [];
    expect(titles.length).toBeLessThan(1000);
  });

  test("tells each guest's crashes in turn, and looks for new ones in between", async () => {
    const folder = temporaryFolder();
    for (const id of [1, 2, 3]) {
      put(join(folder, "a", `dmesg-${id}`), head("Panic", id, 1) + PANIC, 1000);
    }
    put(join(folder, "b", "dmesg-1"), head("Panic", 1, 1) + PANIC, 2000);
    const fresh = put(join(temporaryFolder(), "dmesg-1"), head("Panic", 1, 1) + PANIC, 3000);
    const meanwhile = `mkdir ${folder}/c && cp -p ${fresh} ${folder}/c/ && sleep 2.1`;
    const exec = `echo $VIRTIO_PSTORE_CRASH; [ $VIRTIO_PSTORE_CRASH != a/dmesg-2 ] || { ${meanwhile}; }`;
    const ended = await run(["watch", folder, "--once", "--all", "--exec", exec]);
    expect(ended.stdout.split("\n")).toEqual([
      "a/dmesg-1",
      "b/dmesg-1",
      "a/dmesg-2",
      "a/dmesg-3",
      "c/dmesg-1",
      "",
    ]);
  });

  test("tells the next time what its command couldn't be run for", async () => {
    const folder = guests();
    // As where there are too many processes: no shell is started.
    const noShell = `import processes from "node:child_process";
      import { syncBuiltinESMExports } from "node:module";
      const { spawn } = processes;
      processes.spawn = (file, ...rest) => spawn(file.replace("/bin/sh", "/nowhere/sh"), ...rest);
      syncBuiltinESMExports();`;
    const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(noShell)}`;
    const watch = ["watch", folder, "--once", "--all", "--exec", "echo $VIRTIO_PSTORE_CRASH"];
    const ended = await run(watch, { env: { NODE_OPTIONS } });
    expect(ended).toMatchObject({ status: 1, stdout: "" });
    expect(complaint(ended)).toEqual([
      "virtio-pstore: web/dmesg-1: the command can't be run, and is tried again: /nowhere/sh: no such file or directory",
    ]);
    expect((await run(watch)).stdout).toBe("web/dmesg-1\ndb/dmesg-1\nweb/dmesg-2\n");
  });

  test("says once that a directory can't be read", async () => {
    const folder = guests();
    // Its name isn't UTF-8: root, too, can't read it.
    mkdirSync(Buffer.concat([Buffer.from(`${folder}/`), Buffer.of(0xff)]));
    const watching = start(["watch", folder, "--exec", "echo told; false"]);
    await watching.says(/skipped/);
    put(join(folder, "web", "dmesg-9"), head("Panic", 9, 1) + PANIC, 3000);
    await watching.says(/ended with status 1/);
    const { stderr } = await stop(watching);
    expect(stderr.match(/skipped/g)).toHaveLength(1);
  });

  test("keeps a file of its own: another can't have it meanwhile", async () => {
    const folder = guests();
    const watching = start(["watch", folder, "--exec", "true"]);
    await until(() => existsSync(join(folder, ".watched")), watching.stderr);
    const ended = await once(folder);
    expect(ended).toMatchObject({ status: 1, stdout: "" });
    expect(complaint(ended)).toEqual([
      `virtio-pstore: another watch keeps what it told in ${folder}/.watched: end it, or say another file with --state`,
    ]);
    expect((await once(folder, "--state", join(temporaryFolder(), "s"))).status).toBe(0);
    await stop(watching);
    expect((await once(folder)).status).toBe(0);
  });

  test("says where else to keep what was told where it can't write", async () => {
    const folder = guests();
    chmodSync(folder, 0o555);
    const watch = ["watch", folder, "--once", "--exec", "true"];
    const ended = await run(watch, { asNobody: true });
    chmodSync(folder, 0o755);
    expect(ended).toMatchObject({ status: 1, stdout: "" });
    expect(complaint(ended)).toEqual([
      `virtio-pstore: ${folder}/.watched can't be written (permission denied): say with --state where to keep what was told`,
    ]);
  });

  test("follows no link in the place of its file", async () => {
    const folder = guests();
    const other = put(join(temporaryFolder(), "other"), "mine\n", 1000);
    symlinkSync(other, join(folder, ".watched"));
    const ended = await once(folder, "--all");
    expect(ended).toMatchObject({ status: 1, stdout: "" });
    expect(complaint(ended)).toEqual([
      `virtio-pstore: ${folder}/.watched is no regular file: say with --state which one keeps what was told`,
    ]);
    expect(readFileSync(other, "utf8")).toBe("mine\n");
    // One that the user names is followed.
    const state = join(temporaryFolder(), "state");
    symlinkSync(other, state);
    expect((await once(folder, "--state", state)).stdout).not.toBe("");
    expect(readFileSync(other, "utf8")).toMatch(/^mine\nweb\/dmesg-1 1000000\n/);
  });

  test("forgets records that are gone, but not where a directory can't be read", async () => {
    const folder = guests();
    await once(folder);
    const state = join(folder, ".watched");
    const kept = readFileSync(state, "utf8");
    const gone = Array.from({ length: 1100 }, (_, i) => `web/dmesg-${100 + i}\n`).join("");
    appendFileSync(state, gone);
    const unread = Buffer.concat([Buffer.from(`${folder}/`), Buffer.of(0xff)]);
    mkdirSync(unread);
    await once(folder);
    expect(readFileSync(state, "utf8")).toBe(kept + gone);
    rmdirSync(unread);
    await once(folder);
    expect(readFileSync(state, "utf8")).toBe(kept);
    expect(records(folder)).toEqual(["db", "web"]);
  });

  test("--all also tells what is there already; a line of its file that was cut off is no crash", async () => {
    const folder = guests();
    const state = join(temporaryFolder(), "state");
    const watch = () =>
      run([
        "watch",
        folder,
        "--once",
        "--all",
        "--state",
        state,
        "--exec",
        "echo $VIRTIO_PSTORE_CRASH",
      ]);
    expect((await watch()).stdout).toBe("web/dmesg-1\ndb/dmesg-1\nweb/dmesg-2\n");
    appendFileSync(state, "web/dm");
    put(join(folder, "web", "dmesg-7"), head("Panic", 3, 1) + PANIC, 3001);
    expect((await watch()).stdout).toBe("web/dmesg-7\n");
    expect((await watch()).stdout).toBe("");
  });
});

describe("run --panic-status", () => {
  /** A guest that leaves a record in its directory, and ends with status 3. */
  const guest = (folder: string, record: string) =>
    script(join(folder, "linux.uml"), `printf '${record}' > ${folder}/crashes/dmesg-1`, "exit 3");

  test.each([
    ["Panic#1 Part1\\nlog\\n", 99],
    ["Oops#1 Part1\\nlog\\n", 3],
  ])("after %j the status is %i", async (record, status) => {
    const folder = temporaryFolder();
    put(join(folder, "crashes", "dmesg-7"), "Panic#1 Part1\nof another run\n", 1);
    const args = ["run", "--directory", join(folder, "crashes"), "--panic-status", "99"];
    const ended = await run([...args, "--", guest(folder, record)]);
    expect(ended.status).toBe(status);
  });

  test("300 is no status", async () => {
    const ended = await run([
      "run",
      "--directory",
      "/nowhere",
      "--panic-status",
      "300",
      "--",
      "linux",
    ]);
    expect(ended.status).toBe(2);
  });
});

describe("what comes from the same table as --help", () => {
  const bash = (...words: readonly string[]) => {
    const line = `set -u; source <(${program} completion bash)
      COMP_WORDS=(${words.map((word) => `"${word}"`).join(" ")}); COMP_CWORD=${words.length - 1}
      _virtio_pstore; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync("bash", ["-c", line], { encoding: "utf8" });
    expect(stderr).toBe("");
    return stdout.trim().split("\n");
  };

  test("bash completes commands, options and values", () => {
    expect(bash("virtio-pstore", "s")).toEqual(["serve", "status", "show", "stats"]);
    expect(bash("virtio-pstore", "show", "/tmp", "--co")).toEqual(["--console", "--color"]);
    expect(bash("virtio-pstore", "show", "--color", "a")).toEqual(["auto", "always"]);
    // readline makes three words of it.
    expect(bash("virtio-pstore", "show", "--color", "=", "a")).toEqual(["auto", "always"]);
    expect(bash("virtio-pstore", "show", "--color", "=")).toEqual(["auto", "always", "never"]);
    expect(bash("virtio-pstore", "completion", "")).toEqual(["bash", "zsh", "fish"]);
    expect(bash("virtio-pstore", "erst", "--")).toEqual(["--help"]);
    expect(bash("virtio-pstore", "erst", "watch", "--q")).toEqual(["--qmp"]);
    expect(bash("virtio-pstore", "show", "x")).toEqual([""]);
    expect(bash("virtio-pstore", "erst", "")).not.toEqual([""]);
    expect(bash("virtio-pstore", "run", "--", "qemu", "-")).toEqual([""]);
  });

  test.each(["zsh", "fish"])("%s gets every command and its options", async (shell) => {
    const { status, stdout } = await run(["completion", shell]);
    expect(status).toBe(0);
    for (const word of ["watch", "follow", "dry-run", "on-erase", "keep remove"]) {
      expect(stdout).toContain(word);
    }
    expect(stdout).not.toContain("sync-threads");
  });

  test("fish tells watch from erst watch, and from a path of that name", async () => {
    const lines = (await run(["completion", "fish"])).stdout.split("\n");
    const conditions = (words: string) =>
      lines.filter((line) => line.includes(` ${words} `)).map((line) => line.split("'")[1]);
    expect(conditions("-l exec")).toEqual(["__virtio_pstore_in watch"]);
    expect(conditions("-l clear")).toEqual(["__virtio_pstore_in erst watch"]);
    expect(conditions("-a watch")).toEqual(["__virtio_pstore_at", "__virtio_pstore_at erst"]);
  });

  test("man tells every command and option", async () => {
    const { status, stdout } = await run(["man"]);
    expect(status).toBe(0);
    for (const words of ["virtio\\-pstore watch ", "\\-\\-panic\\-status <n>", "NO_COLOR"]) {
      expect(stdout).toContain(words);
    }
  });
});
