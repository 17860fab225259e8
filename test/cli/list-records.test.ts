import { join } from "node:path";
import { deflateRawSync, deflateSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { oneGuest } from "./crashes.js";
import { put, run, temporaryFolder } from "./support.js";

const raw = (text: string) => deflateRawSync(text);

describe("list --records", () => {
  test("tells each record, oldest first", async () => {
    const folder = oneGuest();
    put(join(folder, "dmesg-10.enc.z"), "garbage", 1010);
    put(join(folder, ".erased"), "dmesg-4\n", 1010);
    const { status, stdout, stderr } = await run(["list", "--records", folder]);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    const size = (text: string) => `${raw(text).length}`;
    expect(stdout.split("\n").map((line) => line.split(/ {2,}/))).toEqual([
      ["RECORD", "WRITTEN (UTC)", "SIZE", "TEXT", "ERASED", "DUMP"],
      [
        "dmesg-1.enc.z",
        "1970-01-01 00:16:40",
        size("Oops#1 Part1\n<4>newest\n"),
        "10",
        "-",
        "Oops#1 part 1",
      ],
      [
        "dmesg-2.enc.z",
        "1970-01-01 00:16:41",
        `${deflateSync("Oops#1 Part2\n<4>oldest\n").length}`,
        "10",
        "-",
        "Oops#1 part 2",
      ],
      ["console-3", "1970-01-01 00:16:42", "12", "12", "-", "-"],
      ["dmesg-4", "1970-01-01 00:16:43", "30", "16", "yes", "Panic#2 part 1"],
      ["dmesg-10.enc.z", "1970-01-01 00:16:50", "7", "?", "-", "unreadable"],
      [""],
    ]);
  });

  test("--json tells the same to programs", async () => {
    const folder = oneGuest();
    put(join(folder, ".erased"), "console-3\n", 1);
    const { status, stdout } = await run(["list", "--records", "--json", folder]);
    expect(status).toBe(0);
    const records = JSON.parse(stdout) as Record<string, unknown>[];
    expect(records.map(({ id }) => id)).toEqual(["1", "2", "3", "4"]);
    expect(records[0]).toEqual({
      type: "dmesg",
      id: "1",
      compressed: true,
      name: "dmesg-1.enc.z",
      path: join(folder, "dmesg-1.enc.z"),
      guest: "",
      size: raw("Oops#1 Part1\n<4>newest\n").length,
      time: "1970-01-01T00:16:40.000Z",
      header: { reason: "Oops", count: 1, part: 1 },
      textBytes: 10,
      erased: false,
    });
    expect(records[2]).toMatchObject({
      type: "console",
      compressed: false,
      textBytes: 12,
      erased: true,
    });
    expect(records[2]).not.toHaveProperty("header");
  });

  test("names guests where the directory holds guests'", async () => {
    const folder = temporaryFolder();
    put(join(folder, "web", "dmesg-1"), "Panic#1 Part1\n", 1);
    put(join(folder, "db", "dmesg-1"), "Panic#1 Part1\n", 1);
    const { stdout } = await run(["list", "--records", folder]);
    const [, ...rows] = stdout.trimEnd().split("\n");
    expect(rows.map((row) => row.split(" ")[0])).toEqual(["db/dmesg-1", "web/dmesg-1"]);
    const { stdout: one } = await run(["list", "--records", join(folder, "web", "dmesg-1")]);
    expect(one.split("\n")[1]).toMatch(/^dmesg-1 /);
  });

  test("an empty directory is an empty list", async () => {
    const folder = temporaryFolder();
    expect(await run(["list", "--records", folder])).toMatchObject({
      status: 0,
      stdout: "RECORD  WRITTEN (UTC)  SIZE  TEXT  ERASED  DUMP\n",
    });
    expect(await run(["list", "--records", "--json", folder])).toMatchObject({
      status: 0,
      stdout: "[]\n",
    });
  });
});
