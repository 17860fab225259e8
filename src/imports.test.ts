import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { expect, test } from "vitest";

/** A folder's files import from their own folder, and from those before it. */
const ORDER = [
  "os",
  "virtio",
  "records",
  "store",
  "device",
  "formats",
  "memory",
  "analysis",
  "service",
  "cli",
] as const;

const root = import.meta.dirname;

/** Of types, too: a type that two files need of each other belongs into a third. */
const IMPORT = /^(?:import|export)\b[^;"]*?from "(\.[^"]+)"|\bimport\("(\.[^"]+)"\)/gm;

/** Each file's imports of other files in src/. */
const imports = new Map(
  readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"))
    .map((file) => [file, importsOf(file)]),
);

function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), "utf8");
  return [...text.matchAll(IMPORT)].map(([, from, dynamic]) =>
    relative(root, join(root, dirname(file), from ?? dynamic ?? "")).replace(/\.js$/, ".ts"),
  );
}

/** The library's index.ts is above all; the other files that lie in no folder are below all. */
function rankOf(file: string): number {
  const rank = ORDER.findIndex((folder) => file.startsWith(`${folder}/`));
  if (rank >= 0) return rank;
  return file === "index.ts" ? ORDER.length : -1;
}

/** All that a file imports, and what that imports, and so on. */
function reachedFrom(file: string): Set<string> {
  const reached = new Set<string>();
  const left = [file];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    for (const other of imports.get(next) ?? []) {
      if (reached.has(other)) continue;
      reached.add(other);
      left.push(other);
    }
  }
  return reached;
}

test("every import names a file that is there", () => {
  expect(imports.size).toBeGreaterThan(100);
  expect([...imports.values()].flat().filter((file) => !imports.has(file))).toEqual([]);
});

test("imports between folders go down only", () => {
  const upwards = [...imports].flatMap(([file, others]) =>
    others.filter((other) => rankOf(other) > rankOf(file)).map((other) => `${file} -> ${other}`),
  );
  expect([...new Set(upwards)].sort()).toEqual([]);
});

test("no files import each other in a circle", () => {
  const reached = new Map([...imports.keys()].map((file) => [file, reachedFrom(file)]));
  const circles = [...reached]
    .filter(([file, others]) => others.has(file))
    .map(([file, others]) =>
      [...others]
        .filter((other) => reached.get(other)?.has(file))
        .sort()
        .join(" "),
    );
  expect([...new Set(circles)].sort()).toEqual([]);
});
