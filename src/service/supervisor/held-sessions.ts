import { closeDescriptor } from "../../os/index.js";
import { createSession, isReadable, type SessionDescriptors } from "../session/index.js";
import { hold, letGo, type PassedDescriptor } from "./notify.js";

const PARTS = ["file", "in", "out"] as const;

/** The number has been the same in all versions: the file itself says which one it is. */
const nameOf = (part: string, guest: string): string => `${part}.3@${guest}`;

/** The name of a guest's listening socket. */
export const socketName = (guest: string): string => `socket@${guest}`;

/** The name of the socket at which a daemon is asked what it knows. */
export const CONTROL_SOCKET = "control@";

/**
 * Each guest's session: from the daemon before, or new and given to the holder now. Whatever else that daemon had is
 * let go of, and so is a session that this version can't read: its front-end sees the end of its connection.
 */
function heldSessions(
  guests: readonly string[],
  passed: readonly PassedDescriptor[],
): SessionDescriptors[] {
  const names = new Set(guests.flatMap((guest) => PARTS.map((part) => nameOf(part, guest))));
  const byName = new Map(passed.map(({ name, fd }) => [name, fd]));
  const held = guests.map((guest) => {
    const [file, into, from] = PARTS.map((part) => byName.get(nameOf(part, guest)));
    // Parts alone: that daemon died while it gave them away, and had served nobody.
    const isWhole = file !== undefined && into !== undefined && from !== undefined;
    if (isWhole && isReadable(file)) return { file, ends: [into, from] } as const;
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
  return held.map((found, i) => {
    if (found !== undefined) return found;
    const made = createSession();
    [made.file, ...made.ends].forEach((fd, part) => {
      hold(nameOf(PARTS[part] ?? "", guests[i] ?? ""), fd);
    });
    return made;
  });
}

/** The guests as the daemon is told of them, each with its session. */
export function withSessions<T extends { readonly name: string }>(
  guests: readonly T[],
  passed: readonly PassedDescriptor[],
): (T & { readonly session: SessionDescriptors })[] {
  const names = guests.map(({ name }) => name);
  return heldSessions(names, passed).flatMap((session, i) => {
    const guest = guests[i];
    return guest === undefined ? [] : [{ ...guest, session }];
  });
}
