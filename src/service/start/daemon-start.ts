import type { Confinement, DaemonEvent, DaemonSettings } from "../daemon/index.js";
import type { Level } from "../errors.js";
import type { ControlSettings, ControlSocket } from "./control-socket.js";

// From `serve` or `run` to a daemon:
//
// 1. `serve` or `run` listens at the sockets and starts a launcher (supervise.ts), again whenever the daemon dies;
//    with the launcher's descriptors it passes a DaemonStart.
// 2. The launcher (daemon-launcher.ts) makes the control socket and confines itself. Under a service manager, which
//    starts daemons anew itself, `serve` does that in the launcher's place.
// 3. It executes Node anew as the daemon (daemon-process.ts), with the same start and what has come about since.
// 4. The daemon's threads get their part of that from it (service/daemon/daemon.ts).
//
// A process passes it to the next one as a JSON argument: it survives execv(2), and holds nothing that is secret.

/** What a daemon is started with. */
export interface DaemonStart {
  readonly settings: DaemonSettings;
  readonly control: ControlSettings;
  readonly json: boolean;
  readonly logLevel: Level;
  /** These are told; all others aren't. */
  readonly tell: readonly DaemonEvent["kind"][];
  /** By a service manager, not by our supervisor. */
  readonly managed: boolean;
}

/** The same once the process is confined, for the daemon itself. */
export interface ConfinedStart extends DaemonStart {
  readonly confinement: Confinement;
  readonly controlSocket: ControlSocket;
}

/** The argument for the launcher, or for the daemon. */
export const startArgument = <T extends DaemonStart>(start: T): string => JSON.stringify(start);

/** What startArgument() of the process before this one made. */
export const readStart = <T extends DaemonStart>(): T => JSON.parse(process.argv[2] ?? "") as T;
