import { libc, viewAt } from "./libc.js";

/** In struct group: name, password, then the id (LP64). */
const GID_OFFSET = 16;

/** A group's id, wherever the system keeps its groups; undefined where there is none of this name. */
export function groupId(name: string): number | undefined {
  const found = Number(libc.getgrnam(name));
  return found === 0
    ? undefined
    : new DataView(viewAt(found, GID_OFFSET + 4)).getUint32(GID_OFFSET, true);
}
