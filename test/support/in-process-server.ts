import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { EventLoop } from "../../src/os/index.js";
import {
  type LogEvent,
  listenAt,
  Server,
  type SessionStore,
} from "../../src/virtio/vhost-user/index.js";
import { EchoDevice, type EchoOptions } from "./echo-device.js";
import { FakeFrontEnd } from "./fake-front-end.js";
import { closing, patientLoop, refusalsIn, sessionsOfMode } from "./in-process.js";

/** A server in this thread, at a path of its own. */
export interface ServerInProcess {
  readonly loop: EventLoop;
  readonly path: string;
  readonly server: Server;
  /** Every device that was made, one for each connection. */
  readonly devices: readonly EchoDevice[];
  readonly log: LogEvent[];
  /** The next createDevice() throws. */
  fail: boolean;
  connect(): FakeFrontEnd;
}

/** A folder that closeAll() removes. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "vhost-user-"));
  closing({
    close: () => {
      rmSync(folder, { recursive: true });
    },
  });
  return folder;
}

export function serve(options: EchoOptions = {}, sessions?: SessionStore): ServerInProcess {
  const loop = closing(patientLoop());
  const path = join(temporaryFolder(), "socket");
  const devices: EchoDevice[] = [];
  const log: LogEvent[] = [];
  const result = {
    loop,
    path,
    devices,
    log,
    fail: false,
    connect: () => {
      const frontEnd = closing(
        FakeFrontEnd.connect(path, () => {
          loop.turn(0);
        }),
      );
      frontEnd.refusals = () => refusalsIn(log);
      return frontEnd;
    },
  };
  const server = new Server({
    loop: loop.share(),
    fd: listenAt(path),
    createDevice: () => {
      if (result.fail) throw new Error("no device today");
      const device = new EchoDevice(options);
      devices.push(device);
      return device;
    },
    sessions: sessions ?? sessionsOfMode(),
    log: (event) => log.push(event),
  });
  closing({
    close: () => {
      server.close();
      for (const device of devices) device.complete();
    },
  });
  return Object.assign(result, { server });
}
