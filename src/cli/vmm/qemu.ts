import { spawnSync } from "node:child_process";
import { CONFIG_EXTENDED_BYTES, QUEUE_COUNT, VIRTIO_ID_PSTORE } from "../../device/index.js";
import { UserError } from "../errors.js";
import type { Vmm } from "./command.js";
import { memoryArguments } from "./qemu-memory.js";
import { escaped, has, properties, values } from "./qemu-options.js";

/** The generic vhost-user device that a user can create, in QEMU 11 and later. */
const DEVICE = "vhost-user-test-device-pci";

/** What older versions call it; there `-device` refuses it. */
const OLD_DEVICE = "vhost-user-device-pci";

const QUEUE_SIZE = 128;

/** Machines without PCI; microvm has it where it is asked for. */
const WITHOUT_PCI = ["microvm", "isapc", "none"];

function checkMachine(args: readonly string[]): void {
  const machine = new Map(
    values(args, "machine", "M").flatMap((value) => [...properties(value, "type")]),
  );
  const type = machine.get("type") ?? "";
  if (!WITHOUT_PCI.includes(type) || machine.get("pcie") === "on") return;
  const mend = type === "microvm" ? "-M microvm,pcie=on, or another machine" : "another machine";
  throw new UserError(`QEMU's machine ${type} has no PCI bus for the device: use ${mend}`);
}

/** The devices that this QEMU has, as it lists them itself. */
export function deviceHelp(command: string): string {
  const { error, stdout } = spawnSync(command, ["-device", "help"], {
    encoding: "utf8",
    timeout: 10_000,
    stdio: ["ignore", "pipe", "ignore"],
  });
  if (error === undefined) return stdout;
  if ("code" in error && error.code === "ENOENT") {
    throw new UserError(`${command}: no such command`, 127);
  }
  throw new UserError(`${command} -device help: ${error.message}`);
}

/** Whether this QEMU has the device. */
function checkDevice(command: string): void {
  const help = deviceHelp(command);
  if (help.includes(`"${DEVICE}"`)) return;
  const found = help.includes(`"${OLD_DEVICE}"`) ? `: its ${OLD_DEVICE} can't be created` : "";
  throw new UserError(
    `${command} is too old to have a vhost-user device of any kind${found}. QEMU 11 is needed (Debian trixie-backports has it)`,
  );
}

/** A QEMU that leaves this process can't be followed. */
export function checkForeground(args: readonly string[]): void {
  if (!has(args, "daemonize")) return;
  throw new UserError(
    "QEMU can't be followed with -daemonize: leave it out, or use `virtio-pstore serve`",
  );
}

/** QEMU: shared memory, the connection, and the generic vhost-user device on the PCI bus. */
export const qemu: Vmm = {
  name: "QEMU",
  check: (command, args) => {
    checkForeground(args);
    checkMachine(args);
    memoryArguments(args);
    checkDevice(command);
  },
  addDevice: (command, args, socketPath) => {
    return {
      command,
      args: [
        ...args,
        ...memoryArguments(args),
        "-chardev",
        `socket,id=virtio-pstore,path=${escaped(socketPath)}`,
        "-device",
        [
          DEVICE,
          `virtio-id=${VIRTIO_ID_PSTORE}`,
          `num_vqs=${QUEUE_COUNT}`,
          `vq_size=${QUEUE_SIZE}`,
          `config_size=${CONFIG_EXTENDED_BYTES}`,
          "chardev=virtio-pstore",
        ].join(","),
      ],
    };
  },
};
