import { dirname } from "node:path";
import { endListening } from "../../os/index.js";
import { makeDirectory, systemFiles } from "../../store/index.js";
import { isListeningAt, listenAt, type SocketAccess } from "../../virtio/vhost-user/index.js";
import { errorLine } from "../errors.js";
import { CONTROL_SOCKET, type PassedDescriptor } from "../supervisor/index.js";

/** Where a daemon listens for requests. */
export interface ControlSettings {
  readonly path: string;
  /** Its folder is made where it isn't there: it is the directory that is served. */
  readonly makesFolder: boolean;
  readonly access: SocketAccess;
}

/** A daemon's control socket; guests are served also where there is none. */
export type ControlSocket =
  | {
      readonly fd: number;
      /** The holder doesn't have it yet. */
      readonly isNew: boolean;
    }
  | { readonly error: string };

/**
 * The socket that a former daemon had, where clients still find it at the path; else a new one. With the directory
 * that is served its file may be gone, and a confined process can't make another.
 */
export function openControl(
  { path, makesFolder, access }: ControlSettings,
  passed: readonly PassedDescriptor[],
): ControlSocket {
  try {
    const held = passed.filter(({ name }) => name === CONTROL_SOCKET).map(({ fd }) => fd);
    const found = held.find((fd) => isListeningAt(fd, path, access));
    if (found !== undefined) return { fd: found, isNew: false };
    for (const fd of held) endListening(fd);
    if (makesFolder) makeDirectory(systemFiles, dirname(path));
    return { fd: listenAt(path, access), isNew: true };
  } catch (error) {
    return { error: errorLine(error) };
  }
}
