import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { qemuGuest } from "../../vm/guest.js";
import { until } from "../support/patience.js";
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
  threadsOf,
  upTo,
} from "./support.js";

const KILLS = 20;
/** Lines that the guest prints for each kill. */
const LINES = 150;

/**
 * Prints numbered lines, some 200 a second, each time that it is told to, and panics when all are printed. A guest that
 * printed of its own accord would be at its end before the last kill where daemons are slow to start.
 */
const script = `
echo READY
i=0
while [ $i -lt ${KILLS * LINES} ]; do
  read _
  last=$((i + ${LINES}))
  while [ $i -lt $last ]; do
    i=$((i + 1))
    echo "numbered line $i" > /dev/kmsg
    [ $((i % 10)) = 0 ] && sleep 0.05
  done
  echo PRINTED $i
done
read _
${panic}`;

describeGuests("a daemon that is killed", () => {
  it("twenty times amid a guest's console: no gap, no line twice, and the panic arrives whole", async () => {
    const folder = temporaryFolder();
    const socket = join(folder, "socket");
    const crashes = join(folder, "crashes");
    const daemon = await serve("--socket-path", socket, "--directory", crashes, "--console");
    const guest = startGuest([
      ...(await qemuGuest({
        kernel: "6.1",
        script,
        append: "printk.devkmsg=on log_buf_len=1M",
        // The panic isn't about how fast the host is.
        driverParameters: { panic_timeout_ms: 300_000 },
      })),
      ...qemuDevice(socket),
    ]);
    await guest.printed("READY");
    const restarts = () => daemon.log().split("was started again").length - 1;
    const console = () => {
      const [name] = recordNames(crashes).filter((one) => one.startsWith("console-"));
      return name === undefined ? "" : readFileSync(join(crashes, name), "latin1");
    };
    const state = (wanted: string) => () =>
      [
        `${wanted}, but after ${restarts()} restarts the console ends with ${JSON.stringify(console().slice(-80))}`,
        ...[daemon.daemon(), guest.pid].map(threadsOf),
        daemon.log(),
        guest.output(),
      ].join("\n");
    for (let kill = 1; kill <= KILLS; kill++) {
      const before = console().length;
      const last = kill * LINES;
      guest.goOn();
      await until(() => console().length > before, state("the guest should print"));
      process.kill(daemon.daemon(), "SIGKILL");
      await until(() => restarts() === kill, state("the daemon should be started again"));
      // Then the guest says nothing more: no later message brings what a daemon has missed.
      await until(
        () => console().includes(`numbered line ${last}\n`),
        state(`line ${last} should come`),
      );
    }
    guest.goOn();
    const { output } = await guest.ended;
    expect(await daemon.stop(), daemon.log()).toBe(0);
    expect(daemon.log().match(/front-end connected/g)).toHaveLength(1);
    expect(recordNames(crashes).filter((name) => name.startsWith("console-"))).toHaveLength(1);
    expect(numbers(console(), /numbered line (\d+)/g), output).toEqual(upTo(KILLS * LINES));
    const [dump, ...others] = dumpTexts(crashes);
    expect(others).toEqual([]);
    expect(numbers(dump ?? "", /numbered line (\d+)/g)).toEqual(upTo(KILLS * LINES));
    expect(dump).toContain("Kernel panic - not syncing: sysrq triggered crash");
  });
});
