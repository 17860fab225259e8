import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { PATIENCE_MS } from "../../test/support/patience.js";

const native = (name: string) =>
  fileURLToPath(new URL(`../../dist/src/os/${name}.js`, import.meta.url));

test("a blocking descriptor that somebody else emptied is drained without waiting", () => {
  // A process of its own: one that waits could not be stopped otherwise.
  const { status, stdout } = spawnSync(
    process.execPath,
    [
      "--input-type=module",
      "-e",
      `import { libc } from ${JSON.stringify(native("libc"))};
      import { drain, signal } from ${JSON.stringify(native("eventfd"))};
      const pair = new Int32Array(2);
      libc.pipe2(pair, 0);
      const eventfd = libc.eventfd(0, 0);
      for (const [from, into] of [[eventfd, eventfd], pair]) {
        signal(into);
        console.log(drain(from), drain(from));
      }
      libc.close(pair[1]);
      console.log(drain(pair[0]));`,
    ],
    { timeout: PATIENCE_MS, encoding: "utf8" },
  );
  expect(status).toBe(0);
  expect(stdout).toBe("true true\ntrue true\nfalse\n");
});
