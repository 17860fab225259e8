import { spawnSync } from "node:child_process";
import { CONFIG_BYTES, QUEUE_COUNT, VIRTIO_ID_PSTORE } from "../../device/index.js";
import { UserError } from "../errors.js";
import { parseSize } from "../size.js";
import type { Vmm } from "./command.js";

/** The generic vhost-user device that a user can create, in QEMU 11 and later. */
const DEVICE = "vhost-user-test-device-pci";

/** What older versions call it; there `-device` refuses it. */
const OLD_DEVICE = "vhost-user-device-pci";

/** QEMU's own default for -m, in bytes. */
const DEFAULT_MEMORY = 128 << 20;

const QUEUE_SIZE = 128;

/** The values of an option that QEMU takes with one or two dashes. */
function values(args: readonly string[], ...names: readonly string[]): string[] {
  return args.flatMap((arg, i) => {
    const value = args[i + 1];
    return value !== undefined && names.some((name) => arg === `-${name}` || arg === `--${name}`)
      ? [value]
      : [];
  });
}

const has = (args: readonly string[], ...names: readonly string[]): boolean =>
  args.some((arg) => names.some((name) => arg === `-${name}` || arg === `--${name}`));

/** QEMU writes a comma within an option's value twice. */
const escaped = (value: string): string => value.replaceAll(",", ",,");

/** One property of an option's value; the first may stand without its name. */
function property(value: string, name: string, implied = false): string | undefined {
  const parts = value.split(",");
  for (const [i, part] of parts.entries()) {
    if (part.startsWith(`${name}=`)) return part.slice(name.length + 1);
    if (implied && i === 0 && !part.includes("=")) return part;
  }
  return undefined;
}

/** The guest's memory as `-m` gives it, in bytes: without a unit, -m counts in M. */
export function memorySize(args: readonly string[]): number {
  const size = values(args, "m")
    .map((value) => property(value, "size", true))
    .filter((value) => value !== undefined)
    .at(-1);
  if (size === undefined) return DEFAULT_MEMORY;
  const bytes = parseSize(/[0-9]$/.test(size) ? `${size}M` : size);
  if (bytes === undefined) throw new UserError(`QEMU's -m ${size}: the size isn't understood`);
  return bytes;
}

/**
 * What shares the guest's memory with the back-end; nothing where the command line does that itself.
 * Throws UserError where the memory is set up in a way that can't be shared.
 */
export function memoryArguments(args: readonly string[]): string[] {
  const advice = "give its memory backend share=on, or leave the memory to `virtio-pstore run`";
  if (has(args, "mem-path")) {
    throw new UserError(`QEMU's -mem-path makes memory that isn't shared: ${advice}`);
  }
  const named = [
    ...values(args, "machine", "M").map((value) => property(value, "memory-backend")),
    ...values(args, "numa").map((value) => property(value, "memdev")),
  ].filter((id) => id !== undefined);
  if (values(args, "numa").some((value) => property(value, "mem") !== undefined)) {
    throw new UserError("QEMU's -numa …,mem= can't be shared: use -numa …,memdev=ID");
  }
  if (named.length === 0) {
    const size = memorySize(args);
    return [
      "-object",
      `memory-backend-memfd,id=virtio-pstore-memory,size=${size},share=on`,
      "-machine",
      "memory-backend=virtio-pstore-memory",
    ];
  }
  for (const id of named) {
    const backend = values(args, "object").find((value) => property(value, "id") === id);
    if (backend === undefined) continue;
    const share =
      property(backend, "share") ?? (backend.startsWith("memory-backend-memfd") ? "on" : "off");
    if (!["on", "yes", "true", "y"].includes(share) && !backend.startsWith("memory-backend-shm")) {
      throw new UserError(`QEMU's memory backend ${id} isn't shared: ${advice}`);
    }
  }
  return [];
}

/** Whether this QEMU has the device, asked of itself. */
function checkDevice(command: string): void {
  const { error, stdout } = spawnSync(command, ["-device", "help"], {
    encoding: "utf8",
    timeout: 10_000,
    stdio: ["ignore", "pipe", "ignore"],
  });
  if (error !== undefined) {
    if ("code" in error && error.code === "ENOENT") {
      throw new UserError(`${command}: no such command`, 127);
    }
    throw new UserError(`${command} -device help: ${error.message}`);
  }
  if (stdout.includes(`"${DEVICE}"`)) return;
  const found = stdout.includes(`"${OLD_DEVICE}"`) ? `: its ${OLD_DEVICE} can't be created` : "";
  throw new UserError(
    `${command} is too old to have a vhost-user device of any kind${found}. QEMU 11 is needed (Debian trixie-backports has it)`,
  );
}

/** QEMU: shared memory, the connection, and the generic vhost-user device on the PCI bus. */
export const qemu: Vmm = {
  name: "QEMU",
  addDevice: (command, args, socketPath) => {
    if (has(args, "daemonize")) {
      throw new UserError(
        "QEMU can't be followed with -daemonize: leave it out, or use `virtio-pstore serve`",
      );
    }
    const memory = memoryArguments(args);
    checkDevice(command);
    return {
      command,
      args: [
        ...args,
        ...memory,
        "-chardev",
        `socket,id=virtio-pstore,path=${escaped(socketPath)}`,
        "-device",
        [
          DEVICE,
          `virtio-id=${VIRTIO_ID_PSTORE}`,
          `num_vqs=${QUEUE_COUNT}`,
          `vq_size=${QUEUE_SIZE}`,
          `config_size=${CONFIG_BYTES}`,
          "chardev=virtio-pstore",
        ].join(","),
      ],
    };
  },
};
