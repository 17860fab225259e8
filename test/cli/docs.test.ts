import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";

const checkout = join(import.meta.dirname, "../..");

const pages = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].concat(
  readdirSync(join(checkout, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => join("docs", name)),
);

const textOf = (page: string) => readFileSync(join(checkout, page), "utf8");

/** A heading's anchor, as GitHub makes it. */
const anchor = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");

const anchorsOf = (page: string): string[] =>
  [...textOf(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) => anchor(heading));

describe.each(pages)("%s", (page) => {
  test("its links lead somewhere", () => {
    for (const [, target = ""] of textOf(page).matchAll(/\]\(([^)]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      const [path = "", name] = target.split("#");
      const file = path === "" ? page : join(dirname(page), path);
      expect(existsSync(join(checkout, file)), target).toBe(true);
      if (name !== undefined) expect(anchorsOf(file), target).toContain(name);
    }
  });

  test("it names files that there are", () => {
    const names = /`((?:src|test|guest|vm|bench|docs|scripts)\/[\w./-]+)`/g;
    for (const [, name = ""] of textOf(page).matchAll(names)) {
      expect(existsSync(join(checkout, name)), name).toBe(true);
    }
  });
});

test("docs/library.md shows the example that is tested", () => {
  const [, shown] = /^```ts\n(.*?)^```$/ms.exec(textOf("docs/library.md")) ?? [];
  expect(shown).toBe(textOf("docs/examples/entropy.ts"));
});

test("README.md stays short", () => {
  expect(textOf("README.md").split("\n").length).toBeLessThanOrEqual(151);
});
