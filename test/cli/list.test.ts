import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { deflateRawSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { encodeStore } from "../support/erst-records.js";
import { complaint, put, run, temporaryFolder } from "./support.js";

const boot = "0123456789abcdef".repeat(2);

/** A log that ends in a panic, or in whatever `report` says. */
const log = (report = "Kernel panic - not syncing: sysrq triggered crash") =>
  [
    "<5>[    0.000000] Linux version 6.1.0-56-cloud-amd64 (a compiler) #1 SMP",
    `<0>[    1.000000] ${report}`,
    "<4>[    1.000001] CPU: 3 PID: 92 Comm: sh Tainted: G           OE      6.1.0-56-cloud-amd64 #1",
    "<4>[    1.000002] Call Trace:",
    "<4>[    1.000003]  dump_stack_lvl+0x34/0x48",
    "<4>[    1.000004]  panic+0x107/0x2d6",
    "",
  ].join("\n");

const header = (reason: string, count: number, part: number, more = "") =>
  `${reason}#${count} Part${part} boot=${boot} time=1790000000.000000001 oldest-first${more}\n`;

/** Two guests: one that oopsed and then panicked, with a part lost; one of 2016's kind. */
function twoGuests(): string {
  const folder = temporaryFolder();
  put(
    join(folder, "web", "dmesg-1"),
    header("Oops", 1, 1, " last") + log("BUG: spinlock bad magic on CPU#0, sh/92"),
    1000,
  );
  put(join(folder, "web", "dmesg-2"), header("Panic", 2, 1) + log(), 1010);
  put(join(folder, "web", "dmesg-4"), header("Panic", 2, 3, " last"), 1011);
  put(join(folder, "web", "console-3"), "printed\n", 1012);
  put(join(folder, "web", ".streams"), `${boot} console-3\n`, 1012);
  put(join(folder, "db", "dmesg-1.enc.z"), deflateRawSync(`Panic#1 Part1\n${log()}`), 2000);
  put(join(folder, "db", "dmesg-2.enc.z"), "garbage", 3000);
  return folder;
}

const cells = (stdout: string) =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line) => line.split(/ {2,}/));

const names = async (...args: readonly string[]) => {
  const { status, stdout } = await run(["list", ...args]);
  expect(status).toBe(0);
  return cells(stdout)
    .slice(1)
    .map(([name]) => name);
};

describe("list", () => {
  test("tells each crash, newest last: its name, kernel, parts and title", async () => {
    const folder = twoGuests();
    const { status, stdout, stderr } = await run(["list", folder]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(
      cells(stdout).map(([name, age, kernel, parts, , title]) => [
        name,
        age?.replace(/[0-9]+d/, "N days"),
        kernel,
        parts,
        title,
      ]),
    ).toEqual([
      ["CRASH", "AGE", "KERNEL", "PARTS", "TITLE"],
      ["web/dmesg-1", "N days", "6.1.0-56-cloud-amd64", "1", "BUG: spinlock bad magic in sh"].map(
        (cell, i) => (i === 4 ? expect.stringContaining("BUG: spinlock") : cell),
      ),
      [
        "web/dmesg-2",
        "N days",
        "6.1.0-56-cloud-amd64",
        "2/3",
        "kernel panic: sysrq triggered crash",
      ],
      ["db/dmesg-1", "N days", "6.1.0-56-cloud-amd64", "1", "kernel panic: sysrq triggered crash"],
      ["db/dmesg-2", "N days", "-", "1+", "unreadable"],
    ]);
  });

  test("--json tells all that is known of a crash", async () => {
    const { stdout } = await run(["list", "--json", twoGuests()]);
    const [, panic, old] = JSON.parse(stdout) as { signature?: string }[];
    expect(panic).toEqual({
      ...{ name: "web/dmesg-2", guest: "web", time: "1970-01-01T00:16:50.000Z" },
      ...{ guestTime: "1790000000.000000001", boot, reason: "Panic", count: 2 },
      ...{ title: "kernel panic: sysrq triggered crash", kind: "panic" },
      ...{ release: "6.1.0-56-cloud-amd64", taint: "GOE", cpu: 3, task: "sh", pid: 92 },
      ...{ missingParts: 1, cutShort: false, size: expect.any(Number) as number },
      signature: expect.stringMatching(/^[0-9a-f]{16}$/) as string,
      records: [
        expect.objectContaining({ name: "dmesg-2", erased: false }),
        expect.objectContaining({ name: "dmesg-4", time: "1970-01-01T00:16:51.000Z" }),
      ],
    });
    // The same bug in another guest.
    expect(old).toMatchObject({ name: "db/dmesg-1", guest: "db", signature: panic?.signature });
    expect(old).not.toHaveProperty("boot");
  });

  test("tells of a record that is cut off, also from the index", async () => {
    const folder = temporaryFolder();
    const whole = deflateRawSync(`Panic#1 Part1\n${log()}`);
    put(join(folder, "dmesg-1.enc.z"), whole.subarray(0, -20), 1000);
    put(
      join(folder, "dmesg-2.gz"),
      gzipSync(header("Oops", 1, 1, " last") + log()).subarray(0, -9),
      1001,
    );
    put(join(folder, "dmesg-3.enc.z"), whole, 1002);
    for (const _ of ["read", "kept"]) {
      const { stdout } = await run(["list", folder]);
      expect(cells(stdout).map(([name, , , parts]) => [name, parts])).toEqual([
        ["CRASH", "PARTS"],
        ["dmesg-1", "1+"],
        ["dmesg-2", "1+"],
        ["dmesg-3", "1"],
      ]);
      const { stdout: json } = await run(["list", "--json", folder]);
      expect(JSON.parse(json)).toMatchObject([true, true, false].map((cutShort) => ({ cutShort })));
    }
    expect(readFileSync(join(folder, ".index"), "utf8")).toContain('"cutShort":true');
    expect((await run(["show", folder, "1"])).stderr).toContain(", 1 part, cut short)");
  });

  test("filters by guest, title, signature and time", async () => {
    const folder = twoGuests();
    const { stdout } = await run(["list", "--json", folder]);
    const signature = (JSON.parse(stdout) as { signature: string }[])[1]?.signature ?? "";
    expect(await names(folder, "--guest", "db")).toEqual(["db/dmesg-1", "db/dmesg-2"]);
    expect(await names(folder, "--title", "SysRq")).toEqual(["web/dmesg-2", "db/dmesg-1"]);
    expect(await names(folder, "--signature", signature.slice(0, 6))).toEqual([
      ...["web/dmesg-2", "db/dmesg-1"],
    ]);
    expect(
      await names(folder, "--since", "1970-01-01 00:16:50", "--until", "1970-01-01 00:40"),
    ).toEqual([...["web/dmesg-2", "db/dmesg-1"]]);
    expect(await names(folder, "--signature", signature.toUpperCase())).toHaveLength(2);
    expect(await names(folder, "--since", "2h")).toEqual([]);
    // A bound takes in all of what it names.
    for (const until of ["1970-01-01 00:33:20", "1970-01-01 00:33", "1970-01-01"]) {
      put(join(folder, "db", "dmesg-1.enc.z"), deflateRawSync(`Panic#1 Part1\n${log()}`), 2000.5);
      expect(await names(folder, "--until", until)).toContain("db/dmesg-1");
    }
    expect(await names(folder, "--until", "1970-01-01 00:33:19")).not.toContain("db/dmesg-1");
    const swapped = await run(["list", folder, "--since", "1d", "--until", "2d"]);
    expect(swapped).toMatchObject({ status: 2, stdout: "" });
    expect(swapped.stderr).toBe(
      "virtio-pstore: --since is later than --until: nothing would fit\nTry `virtio-pstore list --help`.\n",
    );
    expect((await run(["list", folder, "--since", "2026-02-31"])).status).toBe(2);
    const ended = await run(["list", folder, "--since", "tomorrow"]);
    expect(ended.status).toBe(2);
    expect(complaint(ended)[0]).toContain("A time is 2026-11-22");
  });

  test("takes one guest, and not the last of several", async () => {
    const ended = await run(["list", twoGuests(), "--guest", "db", "--guest", "web"]);
    expect(ended).toMatchObject({ status: 2, stdout: "" });
    expect(complaint(ended)[0]).toContain("Only one can be asked for, and db was.");
  });

  test("a guest is its directory's name, also where that is named itself", async () => {
    const { stdout } = await run(["list", "--json", join(twoGuests(), "db")]);
    expect(JSON.parse(stdout)).toMatchObject([{ name: "dmesg-1", guest: "db" }, { guest: "db" }]);
  });

  test("a log's title never brings control characters to the terminal", async () => {
    const folder = temporaryFolder();
    put(
      join(folder, "dmesg-1"),
      `Panic#1 Part1\n${log("Kernel panic - not syncing: \u001b[31m\u202e")}`,
      1,
    );
    for (const option of [[], ["--json"]]) {
      const { stdout } = await run(["list", folder, ...option]);
      expect(stdout).toContain("x1b");
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
      expect(stdout).not.toMatch(/[\u001b\u202e]/);
    }
  });

  test("a guest that isn't there is told, an empty directory is one", async () => {
    const folder = twoGuests();
    mkdirSync(join(folder, "new"));
    for (const command of [["list"], ["list", "--records"], ["stats"]]) {
      const told = async (guest: string) =>
        (await run([...command, folder, "--guest", guest])).stderr;
      expect(await told("wbe")).toBe(`virtio-pstore: ${folder} holds no guest wbe\n`);
      expect(await told("new")).toBe("");
    }
  });

  test("a guest that can't be read makes status 1, unless another is asked for", async () => {
    const folder = twoGuests();
    chmodSync(folder, 0o755);
    chmodSync(join(folder, "db"), 0);
    for (const command of [["list"], ["list", "--records"], ["stats"]]) {
      const listed = (...more: readonly string[]) =>
        run([...command, folder, ...more], { asNobody: true });
      for (const all of [[], ["--guest", "db"]]) {
        expect(await listed(...all)).toMatchObject({
          status: 1,
          stderr: `virtio-pstore: skipped ${folder}/db: permission denied\n`,
        });
      }
      expect(await listed("--guest", "web")).toMatchObject({ status: 0, stderr: "" });
    }
    chmodSync(join(folder, "db"), 0o755);
  });

  test("a directory of ERST files holds none, and says what to name", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "vm1.erst"), encodeStore());
    for (const command of [
      ["list"],
      ["list", "--records"],
      ["list", "--json"],
      ["stats"],
      ["show"],
    ]) {
      const ended = await run([...command, folder]);
      expect(ended).toMatchObject({ status: 1, stdout: "" });
      expect(complaint(ended)).toEqual([
        `virtio-pstore: ${folder} holds vm1.erst, an ERST file: name that`,
      ]);
    }
  });

  test("where only other records are, it says so in place of a table", async () => {
    const folder = temporaryFolder();
    put(join(folder, "console-1"), "text\n", 1);
    const told = `virtio-pstore: ${folder} holds no crash, but other records: \`virtio-pstore list --records\` lists them\n`;
    for (const command of ["list", "stats"]) {
      expect(await run([command, folder])).toEqual({ status: 0, stdout: "", stderr: told });
    }
    expect(await run(["list", folder, "--json"])).toEqual({
      ...{ status: 0, stdout: "[]\n", stderr: told },
    });
  });

  test("a long release doesn't push out titles, and is whole in JSON", async () => {
    const folder = temporaryFolder();
    const release = `6.1.0-${"x".repeat(50)}`;
    const panic = log().replaceAll("6.1.0-56-cloud-amd64", release);
    put(join(folder, "dmesg-1"), `Panic#1 Part1\n${panic}`, 1);
    const [, row] = cells((await run(["list", folder])).stdout);
    expect(row?.[2]).toBe(`${release.slice(0, 27)}…`);
    const { stdout } = await run(["list", folder, "--json"]);
    expect(JSON.parse(stdout)).toMatchObject([{ release }]);
  });

  test("an empty directory is an empty list", async () => {
    const folder = temporaryFolder();
    const stdout = "CRASH  AGE  KERNEL  PARTS  SIZE  TITLE\n";
    expect(await run(["list", folder])).toMatchObject({ status: 0, stdout });
    expect(await run(["list", "--json", folder])).toMatchObject({ status: 0, stdout: "[]\n" });
  });
});

describe("the index", () => {
  test("tells the same, is only for its owner, and is made anew where it is damaged or another's", async () => {
    const folder = twoGuests();
    const path = join(folder, "web", ".index");
    const first = (await run(["list", "--json", folder])).stdout;
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const index = readFileSync(path, "utf8");
    const changed = index.replaceAll("sysrq triggered", "indexed");
    // What the index says is taken as it is, so that nothing has to be read again ...
    writeFileSync(path, changed);
    expect((await run(["list", folder])).stdout).toContain("kernel panic: indexed crash");
    // ... but not what isn't an index of this version and revision, or of these very files.
    for (const broken of [
      "",
      "nonsense\n",
      changed.replace("version", "v"),
      changed.replace(/"revision":"[0-9a-f]{4}/, '"revision":"0000'),
      changed.replaceAll('"reason":', '"reason":1,"x":'),
    ]) {
      writeFileSync(path, broken);
      expect((await run(["list", "--json", folder])).stdout).toBe(first);
    }
    writeFileSync(path, changed);
    put(join(folder, "web", "dmesg-2"), header("Panic", 2, 1) + log(), 1013);
    expect((await run(["list", folder])).stdout).not.toContain("indexed");
  });

  test("isn't needed: a directory that may only be read is listed, and so is what can be read of it", async () => {
    const folder = twoGuests();
    chmodSync(folder, 0o755);
    for (const guest of ["web", "db"]) chmodSync(join(folder, guest), 0o555);
    chmodSync(join(folder, "db", "dmesg-2.enc.z"), 0);
    const { status, stdout, stderr } = await run(["list", folder], { asNobody: true });
    expect(status).toBe(1);
    expect(cells(stdout)).toHaveLength(5);
    expect(stderr).toContain("db/dmesg-2.enc.z: permission denied");
    expect(existsSync(join(folder, "web", ".index"))).toBe(false);
    const shown = await run(["show", folder, "web/dmesg-2"], { asNobody: true });
    expect(shown.stdout).toContain("sysrq triggered crash");
    for (const guest of ["web", "db"]) chmodSync(join(folder, guest), 0o755);
  });
});
