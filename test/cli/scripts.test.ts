import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { run } from "./support.js";

const checkout = join(import.meta.dirname, "..", "..");

/** Runs what a script of package.json runs, without building first. */
const script = (file: string, ...args: readonly string[]) =>
  run([join(checkout, file), ...args], { command: process.execPath });

describe.each([
  "dist/bench/write.js",
  "dist/bench/list.js",
  "dist/bench/erst.js",
  "dist/bench/panic.js",
  "dist/test/vm/compare.js",
  "dist/vm/demo.js",
  "scripts/titles.mjs",
  "scripts/test-newest.mjs",
])("%s", (file) => {
  test("--help tells how it is used, and how long it takes", async () => {
    const { status, stdout, stderr } = await script(file, "--help");
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(/^[Uu]sage: npm run /);
    expect(stdout.replaceAll("\n", " ")).toMatch(
      /Takes (?:about )?(?:an? |some |[0-9]+ )(?:minute|second)/,
    );
  });

  test.each([["--nonsense"], ["6.1", "nonsense"]])("refuses %j %j", async (...words) => {
    const { status, stdout, stderr } = await script(file, ...words);
    expect(status).not.toBe(0);
    expect(stdout).toBe("");
    expect(stderr).not.toBe("");
  });
});

/** What a lock file says of a package, as far as it is looked at here. */
interface Locked {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

test("package-lock.json lists every platform's packages: without one, npm ci refuses it", () => {
  const text = readFileSync(join(checkout, "package-lock.json"), "utf8");
  const { packages } = JSON.parse(text) as { packages: Readonly<Record<string, Locked>> };
  const needed = Object.values(packages).flatMap(({ dependencies, optionalDependencies }) =>
    Object.keys({ ...dependencies, ...optionalDependencies }),
  );
  expect(needed).toContain("@biomejs/cli-darwin-arm64");
  expect(needed.filter((name) => !(`node_modules/${name}` in packages))).toEqual([]);
});
