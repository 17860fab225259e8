import { cpSync, mkdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { inRoot } from "../../vm/chroot.js";
import { kernel } from "../../vm/kernel.js";
import { ensure } from "../../vm/part.js";
import { checkout } from "../../vm/paths.js";
import { builtFiles } from "../../vm/source-files.js";
import { sparse } from "../../vm/sparse.js";
import { describeGuests } from "./support.js";

describeGuests("the guest's driver", () => {
  it("gives sparse nothing to warn of", async () => {
    await ensure(sparse.part);
    const { root, headers } = kernel("6.1");
    const inside = `/build/sparse-${process.pid}`;
    onTestFinished(() => {
      rmSync(join(root, inside), { recursive: true, force: true });
    });
    mkdirSync(join(root, inside));
    cpSync(sparse.program, join(root, inside, "sparse"));
    cpSync(join(checkout, "guest"), join(root, inside, "guest"), {
      recursive: true,
      filter: (file) => !builtFiles.test(basename(file)),
    });
    const { status, output } = await inRoot(root, [
      ...[
        "make",
        "-j2",
        "-C",
        headers,
        "C=2",
        `CHECK=${inside}/sparse`,
        `M=${inside}/guest`,
        "modules",
      ],
    ]);
    expect(output).toMatch(/CHECK .*\/main\.c/);
    const warnings = output.split("\n").filter((line) => /\b(warning|error):/.test(line));
    expect(warnings).toEqual([]);
    expect(status, output).toBe(0);
  });
});
