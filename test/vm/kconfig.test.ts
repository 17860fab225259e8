import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { buildDriver, driverSource } from "../../vm/build.js";
import { describeGuests } from "./support.js";

const kconfig = readFileSync(join(driverSource.directory, "Kconfig"), "utf8");
/** What can be left out. */
const parts = [...kconfig.matchAll(/^config (VIRTIO_PSTORE_\w+)$/gm)].map(([, name = ""]) => name);

const without = (...names: readonly string[]) => names.map((name) => `CONFIG_${name}=n`);

describeGuests("the guest's driver", () => {
  it.each([
    ["without its console", without("VIRTIO_PSTORE_CONSOLE")],
    ["without the trace", without("VIRTIO_PSTORE_TRACE")],
    ["without pmsg", without("VIRTIO_PSTORE_PMSG")],
    ["without all that Kconfig can leave out", without(...parts)],
  ])("builds %s", async (_, variables) => {
    expect(parts).toHaveLength(6);
    const whole = await buildDriver("6.12");
    const { path } = await buildDriver("6.12", { ...driverSource, variables });
    // Each left something out.
    expect(readFileSync(path).length).toBeLessThan(readFileSync(whole.path).length);
  });
});
