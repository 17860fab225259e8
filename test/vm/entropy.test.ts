import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { qemuGuest } from "../../vm/guest.js";
import { kernel } from "../../vm/kernel.js";
import { checkout } from "../../vm/paths.js";
import { start, stop } from "../cli/support.js";
import { listening } from "../support/listening.js";
import { describeGuests, startGuest, temporaryFolder } from "./support.js";

const example = join(checkout, "dist", "docs", "examples", "entropy.js");

describeGuests("the library's example", () => {
  it("is an entropy device for a real driver", async () => {
    const socket = join(temporaryFolder(), "socket");
    const device = start([example, socket], { command: process.execPath });
    await listening(socket, device.stderr);
    const script = [
      "insmod /modules/virtio-rng.ko",
      "cat /sys/class/misc/hw_random/rng_current",
      "for i in 1 2; do head -c 100000 /dev/hwrng | md5sum; done",
    ].join("\n");
    const module = readFileSync(join(kernel("6.1").moduleDirectory, "virtio-rng.ko"));
    const files = { "modules/virtio-rng.ko": module };
    const guest = startGuest([
      ...(await qemuGuest({ kernel: "6.1", driver: false, script, files })),
      ...["-object", "memory-backend-memfd,id=mem,size=256M,share=on"],
      ...["-machine", "memory-backend=mem", "-chardev", `socket,id=rng,path=${socket}`],
      ...["-device", "vhost-user-rng-pci,chardev=rng"],
    ]);
    const { output } = await guest.ended;
    expect(output).toContain("virtio_rng.0");
    const sums = output.match(/^[0-9a-f]{32}(?= {2}-)/gm);
    expect(sums, output).toHaveLength(2);
    expect(new Set(sums).size).toBe(2);
    expect(await stop(device)).toEqual({ status: 0, stdout: "", stderr: "" });
  });
});
