import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { until } from "../support/patience.js";
import { complaint, put, run, start, stop, temporaryFolder } from "./support.js";

/** An oops of three parts and the panic behind it, as pstore's own parts, the newest first. */
const OOPS = [
  "Oops#1 Part1\n<4>[   41.000003] ---[ end trace 0000000000000000 ]---\n",
  "Oops#1 Part2\n<4>[   41.000002] RIP: 0010:acme_poll+0x4f/0x90 [acme]\n",
  "Oops#1 Part3\n<1>[   41.000001] BUG: kernel NULL pointer dereference, address: 0000000000000018\n",
];
const PANIC = "Panic#2 Part1\n<0>[   42.000000] Kernel panic - not syncing: acme: no way back\n";

const OOPS_TITLE = "BUG: unable to handle kernel NULL pointer dereference in acme_poll";
const PANIC_TITLE = "kernel panic: acme: no way back";

/** Without what pstore puts before each part, oldest first. */
const OOPS_TEXT = [...OOPS]
  .reverse()
  .join("")
  .replace(/^Oops#.*\n/gm, "");

/** Each crash's name and title. */
async function listed(path: string): Promise<[string, string][]> {
  const { status, stdout, stderr } = await run(["list", "--json", path]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  const crashes = JSON.parse(stdout) as { readonly name: string; readonly title: string }[];
  return crashes.map(({ name, title }) => [name, title]);
}

const shown = async (...args: readonly string[]) => (await run(["show", ...args])).stdout;

describe("a text that is all somebody kept", () => {
  test.each([
    ["as systemd-pstore made it", [...OOPS].reverse().join("")],
    ["as cat prints the parts", OOPS.join("")],
    ["without pstore's lines", OOPS_TEXT],
  ])("%s", async (_, text) => {
    const folder = temporaryFolder();
    const path = put(join(folder, "dmesg.txt"), text, 1000);
    for (const at of [folder, path]) {
      expect(await listed(at)).toEqual([["dmesg.txt", OOPS_TITLE]]);
      expect(await shown(at)).toBe(OOPS_TEXT);
    }
  });

  test("is exported with the text that is made of it", async () => {
    const folder = temporaryFolder();
    put(join(folder, "vm1", "dmesg.txt"), OOPS.join(""), 1000);
    const out = join(temporaryFolder(), "out");
    expect((await run(["export", folder, "-o", out])).status).toBe(0);
    expect(readdirSync(join(out, "vm1", "vm1-dmesg.txt")).sort()).toEqual([
      ...["crash.json", "dmesg.txt", "stored-dmesg.txt"],
    ]);
  });
});

test("no carriage return is shown of a text that was on another system", async () => {
  const folder = temporaryFolder();
  const text = OOPS.join("").replaceAll("\n", "\r\n");
  put(join(folder, "dmesg-1"), text, 1000);
  put(join(folder, "dmesg-2.gz"), gzipSync(text), 2000);
  expect(await shown(folder, "--all")).toBe(OOPS_TEXT.repeat(2));
  expect(await shown(join(folder, "dmesg-1"))).toBe(OOPS_TEXT);
  expect(await shown(folder, "--raw")).toBe(OOPS_TEXT.replaceAll("\n", "\r\n"));
});

test("a copy of efi-pstore's records: an oops and its panic in one second are two crashes", async () => {
  const folder = temporaryFolder();
  OOPS.forEach((text, i) => {
    put(join(folder, `dmesg-efi_pstore-17001001000${i + 1}001`), text, 2000 + i);
  });
  put(join(folder, "dmesg-efi_pstore-170010010001002"), PANIC, 2000);
  expect(await listed(folder)).toEqual([
    ["dmesg-efi_pstore-170010010001001", OOPS_TITLE],
    ["dmesg-efi_pstore-170010010001002", PANIC_TITLE],
  ]);
  expect(await shown(folder, "170010010001001")).toBe(OOPS_TEXT);
});

/** What systemd-pstore makes of those: a folder for the second, and one for each dump, with its text. */
function systemdPstore(top = temporaryFolder()): string {
  const folder = join(top, "1700100100");
  OOPS.forEach((text, i) => {
    put(join(folder, "001", `dmesg-efi_pstore-17001001000${i + 1}001`), text, 2000);
  });
  put(join(folder, "001", "dmesg.txt"), [...OOPS].reverse().join(""), 2000);
  put(join(folder, "002", "dmesg-efi_pstore-170010010001002"), PANIC, 2000);
  put(join(folder, "002", "dmesg.txt"), PANIC, 2000);
  return top;
}

describe("systemd-pstore's folders", () => {
  const crashes = [
    ["dmesg-efi_pstore-170010010001001", OOPS_TITLE],
    ["dmesg-efi_pstore-170010010001002", PANIC_TITLE],
  ];

  test("are read from their top, or from any folder", async () => {
    const top = systemdPstore();
    for (const path of [top, join(top, "1700100100")]) {
      expect(await listed(path)).toEqual(crashes);
      expect(await shown(path)).toBe(PANIC.replace(/^.*\n/, ""));
    }
    expect(await listed(join(top, "1700100100", "001"))).toEqual(crashes.slice(0, 1));
  });

  test("are one machine's, by whatever name it has", async () => {
    const folder = temporaryFolder();
    for (const host of ["db7", "web1"]) systemdPstore(join(folder, host));
    expect(await listed(folder)).toEqual(
      ["db7", "web1"].flatMap((host) => crashes.map(([name, title]) => [`${host}/${name}`, title])),
    );
    const { stdout } = await run(["stats", folder, "--json"]);
    const byGuest = ["db7", "web1"].map((guest) => ({ guest, crashes: 2 }));
    expect(JSON.parse(stdout)).toMatchObject({ byGuest });
  });

  test("of which only the texts are left are still crashes of their own", async () => {
    const top = temporaryFolder();
    put(join(top, "1700100100", "001", "dmesg.txt"), OOPS.join(""), 2000);
    put(join(top, "1700100100", "002", "dmesg.txt"), PANIC, 2001);
    expect(await listed(top)).toEqual([
      ["1700100100/001/dmesg.txt", OOPS_TITLE],
      ["1700100100/002/dmesg.txt", PANIC_TITLE],
    ]);
  });

  test("ramoops's records of two folders, which have the same names, stay apart", async () => {
    const top = temporaryFolder();
    put(join(top, "1700100100", "dmesg-ramoops-0"), PANIC, 2000);
    put(join(top, "1700100200", "dmesg-ramoops-0"), PANIC, 2000);
    expect((await listed(top)).map(([name]) => name)).toEqual([
      ...["1700100100/dmesg-ramoops-0", "1700100200/dmesg-ramoops-0"],
    ]);
  });

  test("lose a crash with the text that was made of it", async () => {
    const top = systemdPstore();
    expect((await run(["rm", top, "170010010001001"])).status).toBe(0);
    expect(await listed(top)).toEqual(crashes.slice(1));
    expect(readdirSync(join(top, "1700100100", "001")).filter((name) => name !== ".index")).toEqual(
      [],
    );
  });

  test("a guest that is called by a number is none of them", async () => {
    const folder = temporaryFolder();
    put(join(folder, "1700100100", "dmesg-1"), PANIC, 2000);
    put(join(folder, "100", "dmesg-1"), PANIC, 2001);
    expect((await listed(folder)).map(([name]) => name)).toEqual([
      ...["1700100100/dmesg-1", "100/dmesg-1"],
    ]);
  });

  test("are watched", async () => {
    const top = temporaryFolder();
    const deep = join(top, "1700100100", "001");
    mkdirSync(deep, { recursive: true });
    const out = join(temporaryFolder(), "told");
    const exec = `printf '%s\\n' "$VIRTIO_PSTORE_CRASH" >> ${out}`;
    const watching = start(["watch", top, "--exec", exec]);
    await until(
      () => existsSync(join(top, ".watched")),
      () => "watch doesn't begin",
    );
    put(join(deep, "dmesg-efi_pstore-170010010001001"), PANIC, 2000);
    await until(
      () => existsSync(out) && readFileSync(out, "utf8") === "dmesg-efi_pstore-170010010001001\n",
      () => "the crash isn't told",
    );
    await stop(watching);
  });
});

test("a directory of such directories isn't listed as empty", async () => {
  const folder = temporaryFolder();
  put(join(folder, "site", "web", "dmesg-1"), PANIC, 1000);
  for (const command of ["list", "stats", "show", "rm"]) {
    const ended = await run([command, folder, ...(command === "rm" ? ["--until", "1d"] : [])]);
    expect(ended).toMatchObject({ status: 1, stdout: "" });
    expect(complaint(ended)).toEqual([
      `virtio-pstore: ${folder}/site holds directories of records: name that`,
    ]);
  }
});
