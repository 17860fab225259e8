import { closeDescriptor } from "../../os/index.js";
import type { Connection, SessionKeeper } from "../../virtio/vhost-user/index.js";
import { KeptConnection } from "./kept-connection.js";
import { KeptFile } from "./kept-file.js";
import { hold, letGo, type PassedDescriptor } from "./notify.js";
import { Shelf } from "./shelf.js";

/** What the holder has of one guest. The numbers are good on every thread of this process. */
export interface KeptDescriptors {
  readonly file: number;
  readonly shelf: readonly [into: number, from: number];
}

/** Of what is kept: a daemon that knows another one leaves it alone, and its sessions end. */
const FORMAT = 3;
const PARTS = ["file", "in", "out"] as const;

const nameOf = (part: string, guest: string): string => `${part}.${FORMAT}@${guest}`;

/** The name of a guest's listening socket. */
export const socketName = (guest: string): string => `socket@${guest}`;

/** The name of the socket at which a daemon is asked what it knows. */
export const CONTROL_SOCKET = "control@";

/**
 * What is kept of each guest: from the daemon before, or new and given to the holder now. Whatever else
 * that daemon had is let go of.
 */
function keptDescriptors(
  guests: readonly string[],
  passed: readonly PassedDescriptor[],
): KeptDescriptors[] {
  const names = new Set(guests.flatMap((guest) => PARTS.map((part) => nameOf(part, guest))));
  const byName = new Map(passed.map(({ name, fd }) => [name, fd]));
  const kept = guests.map((guest) => {
    const [file, into, from] = PARTS.map((part) => byName.get(nameOf(part, guest)));
    if (file !== undefined && into !== undefined && from !== undefined) {
      return { file, shelf: [into, from] } as const;
    }
    // Parts alone: that daemon died while it gave them away, and had served nobody.
    for (const part of PARTS) names.delete(nameOf(part, guest));
    return undefined;
  });
  for (const guest of guests) names.add(socketName(guest));
  names.add(CONTROL_SOCKET);
  for (const { name, fd } of passed) {
    // A socket that systemd itself listens at has no such name.
    if (!name.includes("@") || names.has(name)) continue;
    letGo(name);
    closeDescriptor(fd);
  }
  return kept.map((found, i) => {
    if (found !== undefined) return found;
    const made = { file: KeptFile.create(), shelf: Shelf.create() };
    [made.file, ...made.shelf].forEach((fd, part) => {
      hold(nameOf(PARTS[part] ?? "", guests[i] ?? ""), fd);
    });
    return made;
  });
}

/** A guest as the daemon is told of it, and what is kept of it. */
export function withKept<T extends { readonly name: string }>(
  guests: readonly T[],
  passed: readonly PassedDescriptor[],
): (T & { readonly kept: KeptDescriptors })[] {
  const names = guests.map(({ name }) => name);
  return keptDescriptors(names, passed).flatMap((kept, i) => {
    const guest = guests[i];
    return guest === undefined ? [] : [{ ...guest, kept }];
  });
}

/** One guest's session, and what else of the guest outlives this process. */
export class Keeper implements SessionKeeper {
  readonly #file: KeptFile;
  readonly #shelf: Shelf;

  constructor({ file, shelf }: KeptDescriptors) {
    this.#file = new KeptFile(file);
    this.#shelf = new Shelf(shelf);
  }

  /** The device's own part: zeros where a session begins. */
  get device(): Uint8Array<ArrayBuffer> {
    return this.#file.device;
  }

  /** How far the guest's rates are used up: zeros where it is new, whatever session begins. */
  get rateLevels(): Float64Array {
    return this.#file.rateLevels;
  }

  /** The id of the last stored record that the operator was told of; undefined where the directory is new. */
  get told(): bigint | undefined {
    return this.#file.told;
  }

  set told(id: bigint | undefined) {
    this.#file.told = id;
  }

  resume(): Connection | undefined {
    return KeptConnection.resume(this.#file, this.#shelf);
  }

  begin(accept: () => number | undefined): Connection | undefined {
    return KeptConnection.begin(this.#file, this.#shelf, accept);
  }
}
