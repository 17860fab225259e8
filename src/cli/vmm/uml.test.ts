import { expect, test } from "vitest";
import { uml } from "./uml.js";

const add = (...args: readonly string[]) => uml.addDevice("./linux", args, "/tmp/socket");

test("user-mode-linux: the device is a kernel parameter", () => {
  expect(add("mem=256M", "root=/dev/root")).toEqual({
    command: "./linux",
    args: ["mem=256M", "root=/dev/root", "virtio_uml.device=/tmp/socket:22"],
  });
});

test("user-mode-linux: what follows -- stays for the guest's init", () => {
  expect(add("mem=256M", "--", "single", "--").args).toEqual([
    "mem=256M",
    "virtio_uml.device=/tmp/socket:22",
    "--",
    "single",
    "--",
  ]);
});

test("user-mode-linux: no arguments at all", () => {
  expect(add().args).toEqual(["virtio_uml.device=/tmp/socket:22"]);
});
