import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { qemuGuest } from "../../vm/guest.js";
import {
  describeGuests,
  dumpTexts,
  numbers,
  panic,
  qemuDevice,
  recordNames,
  serve,
  startGuest,
  temporaryFolder,
  upTo,
} from "./support.js";

const KILLS = 20;
const LINES = 3000;

/** Prints numbered lines, some 200 a second, and panics. */
const script = `
echo READY
i=0
while [ $i -lt ${LINES} ]; do
  i=$((i + 1))
  echo "numbered line $i" > /dev/kmsg
  [ $((i % 10)) = 0 ] && sleep 0.05
done
sleep 1
${panic}`;

describeGuests("a daemon that is killed", () => {
  it("twenty times amid a guest's console: no gap, no line twice, and the panic arrives whole", async () => {
    const folder = temporaryFolder();
    const socket = join(folder, "socket");
    const crashes = join(folder, "crashes");
    const daemon = await serve("--socket-path", socket, "--directory", crashes, "--console");
    const guest = startGuest([
      ...(await qemuGuest({ kernel: "6.1", script, append: "printk.devkmsg=on log_buf_len=1M" })),
      ...qemuDevice(socket),
    ]);
    await guest.printed("READY");
    const restarts = () => daemon.log().split("was started again").length - 1;
    const console = () => {
      const [name] = recordNames(crashes).filter((one) => one.startsWith("console-"));
      return name === undefined ? "" : readFileSync(join(crashes, name), "latin1");
    };
    for (let kill = 1; kill <= KILLS; kill++) {
      // The one that was started has stored something.
      const before = console().length;
      await expect
        .poll(() => console().length, { timeout: 20_000, interval: 5 })
        .toBeGreaterThan(before);
      process.kill(daemon.daemon(), "SIGKILL");
      await expect.poll(restarts, { timeout: 20_000, interval: 5 }).toBe(kill);
    }
    const { output } = await guest.ended;
    expect(await daemon.stop(), daemon.log()).toBe(0);
    expect(daemon.log().match(/front-end connected/g)).toHaveLength(1);
    expect(recordNames(crashes).filter((name) => name.startsWith("console-"))).toHaveLength(1);
    expect(numbers(console(), /numbered line (\d+)/g), output).toEqual(upTo(LINES));
    const [dump, ...others] = dumpTexts(crashes);
    expect(others).toEqual([]);
    expect(numbers(dump ?? "", /numbered line (\d+)/g)).toEqual(upTo(LINES));
    expect(dump).toContain("Kernel panic - not syncing: sysrq triggered crash");
  });
});
