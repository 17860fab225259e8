import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { RecordType } from "../../src/device/wire.js";
import { buildDriver } from "../../vm/build.js";
import { umlGuest } from "../../vm/guest.js";
import { type Lie, serveLies } from "./lying-device.js";
import { describeGuests, dumpTexts, panic, startGuest } from "./support.js";

/** What a guest loads its driver with, pstorefs being mounted, and says how long that took, in seconds. */
const load = [
  "read from rest < /proc/uptime; insmod /driver.ko; read to rest < /proc/uptime",
  'echo "loading took from $from to $to" > /dev/kmsg',
].join("\n");

/** The dump of a guest that loaded its driver with such a device, and how many seconds that took. */
async function lastWords(lie: Lie): Promise<{ text: string; took: number }> {
  const { socket, directory } = serveLies(lie);
  const argv = await umlGuest({
    driver: false,
    files: { "driver.ko": readFileSync((await buildDriver("uml")).path) },
    script: `${load}\n${panic}`,
  });
  const { output } = await startGuest([...argv, `virtio_uml.device=${socket}:22`]).ended;
  const [text, ...others] = dumpTexts(directory);
  if (text === undefined || others.length > 0) throw new Error(`not one dump: ${output}`);
  const [, from, to] = /loading took from ([\d.]+) to ([\d.]+)/.exec(text) ?? [];
  return { text, took: Number(to) - Number(from) };
}

describeGuests("a device whose records never come to an end", () => {
  it("holds the guest up for half a minute, which then goes on and panics with a dump", async () => {
    const guests = await Promise.all([
      // As many as pstore takes in one walk would take 11 minutes.
      lastWords({ delayMs: 10, type: 99, bytes: 100 }),
      lastWords({ delayMs: 9000, type: RecordType.DMESG, bytes: 100 }),
    ]);
    for (const { text, took } of guests) {
      expect(text).toContain("Kernel panic - not syncing: sysrq triggered crash");
      // 30 s, and what a busy machine adds.
      expect(took, text).toBeGreaterThan(29);
      expect(took, text).toBeLessThan(60);
    }
    const [unknown, slow] = guests.map(({ text }) => text);
    expect(unknown).toMatch(
      /they take longer than 30 s; so far 0 are shown, and \d+ were of no use/,
    );
    // The last one gets what is left.
    expect(slow).toMatch(/command 2 was not answered in \d{4} ms, taking the host for dead/);
  });

  it("takes no more than half of the guest's free memory", async () => {
    const { text } = await lastWords({ delayMs: 0, type: RecordType.DMESG, bytes: 16384 });
    expect(text).toMatch(/they take half of the free memory; so far \d{3,} are shown/);
    expect(text).not.toContain("Out of memory");
    expect(text).toContain("Kernel panic - not syncing: sysrq triggered crash");
  });
});
