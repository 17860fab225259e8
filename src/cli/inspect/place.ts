import { statSync } from "node:fs";
import type { MemorySource } from "../../memory/index.js";
import type { SharedExtent } from "../../memory/source/shared.js";
import type { DaemonMemory, GuestPlace, RegionPlace } from "../../service/daemon/index.js";
import { UserError } from "../../service/errors.js";
import { askDaemon } from "../ask-daemon.js";
import { controlPath } from "../control-options.js";

/** As in PhysicalMemory. */
const ADDRESS_END = 2n ** 52n;

/** Which memory is looked into. */
export interface Place {
  /** For people: a path, `pid 4711`, or `guest web`. */
  readonly name: string;
  readonly source: MemorySource;
}

/** The memory that a guest of a running daemon shares with it. Throws UserError, in one line, where there is none. */
export async function daemonPlace(control: string, name: string | undefined): Promise<Place> {
  const isDirectory = statSync(control, { throwIfNoEntry: false })?.isDirectory() === true;
  const socket = isDirectory ? controlPath(control) : control;
  const directory = isDirectory ? control : undefined;
  const { pid, guests } = await askDaemon({
    ...{ socket, directory, command: "memory" },
    isResult: isMemory,
  });
  const { guest, connected, regions } = guestOf(guests, name, socket);
  const named = guest === "" ? `the guest at ${control}` : `guest ${guest}`;
  if (!connected) throw new UserError(`${named}: no VMM is connected to the daemon`);
  if (regions.length === 0) {
    throw new UserError(
      `${named}: its VMM shares no memory: QEMU does from the start of the guest's driver on, with share=on; ` +
        "read its process, with --pid",
    );
  }
  if (!regions.every(isReachable)) {
    throw new UserError(`${named}: its VMM says that its memory is where no processor has any`);
  }
  return { name: named, source: { pid, extents: regions.map(extentOf) } };
}

function guestOf(
  guests: readonly GuestPlace[],
  name: string | undefined,
  socket: string,
): GuestPlace {
  const [first] = guests;
  const only = guests.length === 1 ? first : undefined;
  const found = name === undefined ? only : guests.find(({ guest }) => guest === name);
  if (found !== undefined) return found;
  if (only?.guest === "") {
    throw new UserError(`${socket}: the daemon has one guest, without a name: leave --guest out`);
  }
  const names = guests.map(({ guest }) => guest).join(", ");
  throw new UserError(
    name === undefined
      ? `${socket}: the daemon has several guests; name one with --guest: ${names}`
      : `${socket}: the daemon has no guest ${name}; its guests: ${names}`,
  );
}

const isReachable = ({ address, size, offset }: RegionPlace): boolean =>
  [address, offset].every((start) => BigInt(start) + BigInt(size) <= ADDRESS_END);

const extentOf = ({ address, size, fd, offset, device, inode }: RegionPlace): SharedExtent => ({
  ...{ start: Number(address), size: Number(size), fd, offset: Number(offset) },
  ...{ device: BigInt(device), inode: BigInt(inode) },
});

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null;

const isMemory = (result: unknown): result is DaemonMemory =>
  isObject(result) && isCount(result.pid) && isListOf(result.guests, isGuest);

const isGuest = (value: unknown): value is GuestPlace =>
  isObject(value) &&
  typeof value.guest === "string" &&
  typeof value.connected === "boolean" &&
  isListOf(value.regions, isRegion);

const isRegion = (value: unknown): value is RegionPlace =>
  isObject(value) &&
  isCount(value.fd) &&
  ["address", "size", "offset", "device", "inode"].every((name) => isDecimal(value[name]));

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;

const isDecimal = (value: unknown): boolean =>
  typeof value === "string" && /^[0-9]{1,20}$/.test(value);

const isListOf = <T>(value: unknown, is: (one: unknown) => one is T): value is T[] =>
  Array.isArray(value) && value.every(is);
