import { execFileSync } from "node:child_process";
import { expect, it, onTestFinished } from "vitest";
import { qemuGuest } from "../../vm/guest.js";
import { describeGuests, program, startGuest, temporaryFolder } from "./support.js";

/** The line of its own isn't for the terminal, where it would stand between others; the kernel may go on behind it. */
const SCRIPT = `
echo "<6>written last" > /dev/kmsg
dmesg -r | sed '/written last$/q' | tail -n 30 > /told
echo LOG-BEGINS; cat /told; echo LOG-ENDS
read _
`;

describeGuests("the memory that a guest of `run` shares", () => {
  it("is looked into while it runs: its log ends as dmesg's does", async () => {
    const directory = temporaryFolder();
    const argv = await qemuGuest({
      ...{ kernel: "7.3", bzImage: true, quiet: true },
      script: SCRIPT,
    });
    const guest = startGuest([program, "run", "--directory", directory, "--", ...argv]);
    onTestFinished(async () => {
      process.kill(guest.pid, "SIGTERM");
      await guest.ended;
    });
    await guest.printed("LOG-ENDS");
    const [, told = ""] = /LOG-BEGINS\r?\n([\s\S]*)LOG-ENDS/.exec(guest.output()) ?? [];
    const lines = told.trimEnd().split(/\r?\n/);
    expect(lines.at(-1)).toMatch(/written last$/);
    const shown = execFileSync(program, ["inspect", "--control", directory, "log"]);
    const before = /^[\s\S]*written last$/m.exec(shown.toString())?.[0] ?? "";
    expect(before.split("\n").slice(-30)).toEqual(lines);
  });
});
