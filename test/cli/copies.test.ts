import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { put, run, temporaryFolder } from "./support.js";

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
