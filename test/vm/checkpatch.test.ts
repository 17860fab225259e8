import { cpSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { inRoot } from "../../vm/chroot.js";
import { checkout, inVm } from "../../vm/paths.js";
import { describeGuests } from "./support.js";

const root = inVm("bookworm");

/**
 * A driver outside of the kernel's tree looks at the kernel's version (the second complaint is of the
 * same line), and a uapi header has no BIT().
 */
const ignored = ["LINUX_VERSION_CODE", "CONSTANT_COMPARISON", "BIT_MACRO"];

describeGuests("the guest's driver", () => {
  it("passes the kernel's checkpatch", async () => {
    const copy = "/build/checkpatch";
    onTestFinished(() => {
      rmSync(join(root, copy), { recursive: true, force: true });
    });
    cpSync(join(checkout, "guest"), join(root, copy), { recursive: true });
    const files = readdirSync(join(root, copy), { recursive: true, encoding: "utf8" });
    const result = await inRoot(root, [
      ...["perl", "/usr/src/uml/source/scripts/checkpatch.pl", "--no-tree", "--strict", "--terse"],
      ...["--ignore", ignored.join(","), "--no-summary", "-f"],
      ...files.filter((name) => /\.[ch]$/.test(name)).map((name) => join(copy, name)),
    ]);
    expect(result.output.trim()).toBe("");
    expect(result.status).toBe(0);
  });
});
