import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readFacts } from "./index.js";

/**
 * Logs of kinds that people post, of a driver that doesn't exist: `title: …`, and whatever else is to be told, an
 * empty line, and the log.
 */
const directory = join(import.meta.dirname, "posted");

function expectedOf(headers: string): Readonly<Record<string, unknown>> {
  const fields = headers.split("\n").map((line) => /^(\w+): ?(.*)$/.exec(line)?.slice(1) ?? []);
  const { title = "", signature, ...others } = Object.fromEntries(fields);
  const isTelling = title !== "" && signature !== "none";
  return {
    title,
    signature: isTelling ? expect.stringMatching(/^[0-9a-f]{16}$/) : "",
    ...others,
  };
}

describe("logs that people post", () => {
  it.each(readdirSync(directory).sort())("%s", (name) => {
    const text = readFileSync(join(directory, name), "utf8");
    const end = text.indexOf("\n\n");
    const facts = readFacts(text.slice(end + 2).split("\n"));
    expect(facts).toMatchObject(expectedOf(text.slice(0, end)));
  });
});
