import { UserError } from "../../service/errors.js";
import { has, objectProperties, type Properties, properties, values } from "./qemu-options.js";

/** QEMU's own default for -m, in bytes. */
const DEFAULT_MEMORY = 128 * 2 ** 20;

/** QEMU rounds the memory's size up to it, and refuses a backend of another size. */
const ALIGNMENT = 8192;

const UNITS = "BKMGTPE";

const ADVICE = "give its memory backend share=on, or leave the memory to `virtio-pstore run`";

/** The guest's memory as `-m` gives it, in bytes: without a unit, -m counts in M. */
export function memorySize(args: readonly string[]): number {
  const size = values(args, "m")
    .map((value) => properties(value, "size").get("size"))
    .filter((value) => value !== undefined)
    .at(-1);
  if (size === undefined) return DEFAULT_MEMORY;
  const bytes = parse(size);
  if (bytes === undefined) {
    throw new UserError(
      `QEMU's -m ${size}: the size isn't understood; write a number of megabytes, or one with K, M, G or T behind it, such as 512M or 1.5G`,
    );
  }
  if (bytes === 0) return DEFAULT_MEMORY;
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

/** QEMU takes a fraction where a unit follows. */
function parse(size: string): number | undefined {
  const [, whole = "", fraction = "", unit = ""] =
    /^([0-9]+)(?:(\.[0-9]*)?([BKMGTPE]))?$/i.exec(size) ?? [];
  const factor = 1024 ** UNITS.indexOf(unit === "" ? "M" : unit.toUpperCase());
  if (whole === "" || (fraction !== "" && factor === 1)) return undefined;
  const bytes = Number(whole) * factor + Math.floor(Number(`0${fraction}`) * factor);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/**
 * What shares the guest's memory with the back-end; nothing where the command line does that itself.
 * Throws UserError where the memory is set up in a way that can't be shared.
 */
export function memoryArguments(args: readonly string[]): string[] {
  if (has(args, "mem-path")) {
    throw new UserError(`QEMU's -mem-path makes memory that isn't shared: ${ADVICE}`);
  }
  const named = [...machineBackend(args), ...numaBackends(args)];
  if (named.length === 0) {
    return [
      "-object",
      `memory-backend-memfd,id=virtio-pstore-memory,size=${memorySize(args)},share=on`,
      "-machine",
      "memory-backend=virtio-pstore-memory",
    ];
  }
  const objects = values(args, "object").map(objectProperties);
  for (const id of named) {
    const backend = objects.findLast((object) => object.get("id") === id);
    if (backend !== undefined) checkShared(id, backend);
    // A configuration file can define it, too; QEMU says so if it doesn't.
    else if (!has(args, "readconfig")) {
      throw new UserError(
        `QEMU's memory backend ${id} isn't defined: add -object memory-backend-memfd,id=${id},size=SIZE,share=on`,
      );
    }
  }
  return [];
}

/** Of several -machine options QEMU makes one. */
function machineBackend(args: readonly string[]): string[] {
  return values(args, "machine", "M")
    .flatMap((value) => properties(value, "type").get("memory-backend") ?? [])
    .slice(-1);
}

function numaBackends(args: readonly string[]): string[] {
  const nodes = values(args, "numa")
    .map((value) => properties(value, "type"))
    .filter((numa) => numa.get("type") === "node");
  if (nodes.some((node) => node.has("mem"))) {
    throw new UserError("QEMU's -numa …,mem= can't be shared: use -numa …,memdev=ID");
  }
  const backends = nodes.flatMap((node) => node.get("memdev") ?? []);
  if (nodes.length > 0 && backends.length === 0) {
    throw new UserError(
      "QEMU's -numa node needs memory that is shared: write -object memory-backend-memfd,id=ID,size=SIZE,share=on and -numa node,memdev=ID for each node",
    );
  }
  return backends;
}

function checkShared(id: string, backend: Properties): void {
  const type = backend.get("qom-type") ?? "";
  const shared = type === "memory-backend-memfd" || type === "memory-backend-shm" ? "on" : "off";
  if (!["on", "yes", "true", "y"].includes(backend.get("share") ?? shared)) {
    throw new UserError(`QEMU's memory backend ${id} isn't shared: ${ADVICE}`);
  }
}
