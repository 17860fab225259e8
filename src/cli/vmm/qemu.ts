import { spawnSync } from "node:child_process";
import { CONFIG_EXTENDED_BYTES, QUEUE_COUNT, VIRTIO_ID_PSTORE } from "../../device/index.js";
import { systemReason } from "../../os/errno.js";
import { codeOf, UserError } from "../../service/errors.js";
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

/** Of a QEMU that isn't in the page cache yet, on a machine that is busy. */
const MOST_SECONDS = 30;

/** What it says of itself is one line, as long as that. */
const MOST_CHARS = 300;

/** The devices that this QEMU has, as it lists them itself; UserError where it doesn't start. */
export function deviceHelp(command: string, mostSeconds = MOST_SECONDS): string {
  const { error, status, signal, stdout, stderr } = spawnSync(command, ["-device", "help"], {
    encoding: "utf8",
    timeout: mostSeconds * 1000,
    killSignal: "SIGKILL",
    stdio: ["ignore", "pipe", "pipe"],
  });
  const code = codeOf(error);
  if (code === "ENOENT") throw new UserError(`${command}: no such command`, 127);
  const own = `\`${command} -device help\``;
  if (code === "ETIMEDOUT") {
    throw new UserError(`${own} doesn't end within ${mostSeconds} s: try again, or look why`);
  }
  if (error !== undefined) {
    throw new UserError(`${command} can't be started: ${systemReason(error) ?? error.message}`);
  }
  if (status === 0) return stdout;
  const [line = ""] = stderr.trim().split("\n", 1);
  const end = signal === null ? `status ${status}` : signal;
  throw new UserError(`${own} failed: ${line === "" ? end : line.slice(0, MOST_CHARS)}`);
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
