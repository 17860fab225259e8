import { lstatSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { closeDescriptor, errno, listenUnix, SystemError } from "../../src/os/index.js";
import { listenAt, PlainConnection, SocketInUseError } from "../../src/virtio/vhost-user/index.js";
import { DriverQueue } from "../support/fake-driver.js";
import type { FakeFrontEnd } from "../support/fake-front-end.js";
import { GuestRam } from "../support/guest-ram.js";
import { closeAll, closing, echo, settle } from "../support/in-process.js";
import { serve, temporaryFolder } from "../support/in-process-server.js";
import { qemuConnect, qemuStart } from "../support/negotiations.js";
import { message, VU } from "../support/vhost-user-wire.js";

afterEach(closeAll);

const text = Buffer.from("text");

/** Runs one queue on a connection. */
async function start(frontEnd: FakeFrontEnd): Promise<{ ram: GuestRam; queue: DriverQueue }> {
  const ram = closing(new GuestRam());
  const queue = closing(new DriverQueue(ram));
  await qemuConnect(frontEnd, [queue]);
  await qemuStart(frontEnd, ram, [queue]);
  return { ram, queue };
}

describe("one front-end at a time", () => {
  test("vhost-user: a front-end that disconnects comes back to a new device", async () => {
    const { connect, devices } = serve();
    for (let i = 1; i <= 3; i++) {
      const frontEnd = connect();
      const { ram, queue } = await start(frontEnd);
      expect(await echo({ frontEnd, ram }, queue, text)).toEqual(text);
      expect(devices).toHaveLength(i);
      frontEnd.close();
    }
    expect(devices.slice(0, -1).every((device) => device.closed)).toBe(true);
  });

  test("vhost-user: a front-end that disconnects in the middle of a message comes back, and nothing is lost", async () => {
    const { connect, devices, loop } = serve();
    const first = connect();
    await start(first);
    settle(loop);
    const before = readdirSync("/proc/self/fd").length;
    first.close();
    for (const bytes of [1, 11, 12, 13, 40]) {
      const frontEnd = connect();
      frontEnd.sendBytes(message(VU.ADD_MEM_REG, Buffer.alloc(40)).subarray(0, bytes), [0, 1]);
      settle(loop);
      frontEnd.close();
      settle(loop);
    }
    expect(devices).toHaveLength(6);
    expect(devices.every((device) => device.closed)).toBe(true);
    expect(readdirSync("/proc/self/fd").length).toBeLessThan(before);
    const frontEnd = connect();
    const { ram, queue } = await start(frontEnd);
    expect(await echo({ frontEnd, ram }, queue, text)).toEqual(text);
  });

  test("vhost-user: a second front-end is turned away, and the first is undisturbed", async () => {
    const { connect, devices, log } = serve();
    const first = connect();
    const { ram, queue } = await start(first);
    const second = connect();
    await second.ended();
    expect(log.map((event) => event.code)).toEqual(["SECOND_FRONT_END"]);
    expect(devices).toHaveLength(1);
    expect(await echo({ frontEnd: first, ram }, queue, text)).toEqual(text);
  });

  test("vhost-user: a front-end that comes back while its last requests are in flight waits for them", async () => {
    const { connect, devices, log, loop } = serve();
    const first = connect();
    const { ram, queue } = await start(first);
    const [device] = devices;
    if (device === undefined) throw new Error("no device");
    device.holds = true;
    queue.add([{ address: ram.allocate(8), length: 8, writable: false }]);
    settle(loop);
    expect(device.held).toBe(1);
    first.close();
    settle(loop);
    const second = connect();
    second.send(VU.GET_FEATURES);
    settle(loop);
    expect(devices).toHaveLength(1);
    device.complete();
    expect((await second.receive()).request).toBe(VU.GET_FEATURES);
    expect(devices).toHaveLength(2);
    expect(log).toEqual([]);
  });

  test("a device that can't be made turns the front-end away, and the next one is served", async () => {
    const server = serve();
    server.fail = true;
    await server.connect().ended();
    expect(server.log.map((event) => event.code)).toEqual(["NO_DEVICE"]);
    server.fail = false;
    await server.connect().barrier();
  });

  test("a connection that can't be kept, for want of descriptors, waits until it can", async () => {
    let full = true;
    const server = serve(
      {},
      {
        resume: () => undefined,
        begin: (accept) => {
          if (full) throw new SystemError("pipe2", errno.EMFILE);
          const fd = accept();
          return fd === undefined ? undefined : new PlainConnection(fd);
        },
      },
    );
    const frontEnd = server.connect();
    settle(server.loop);
    expect(server.log.map(({ code }) => code)).toEqual(["EMFILE"]);
    full = false;
    await frontEnd.barrier();
  });

  test("a server that is closed lets go of its socket and its connection", async () => {
    const { connect, server, path, devices, loop } = serve();
    const frontEnd = connect();
    await frontEnd.barrier();
    server.close();
    server.close();
    settle(loop);
    await frontEnd.ended();
    expect(devices.every((device) => device.closed)).toBe(true);
    expect(() => connect()).toThrow("ECONNREFUSED");
    closeDescriptor(listenAt(path));
  });
});

describe("the socket's file", () => {
  const path = () => join(temporaryFolder(), "socket");

  test("a socket is made with mode 0600, and the umask is left as it was", () => {
    const before = process.umask();
    const at = path();
    const fd = listenAt(at);
    expect(lstatSync(at).mode & 0o777).toBe(0o600);
    expect(process.umask()).toBe(before);
    closeDescriptor(fd);
  });

  test("a socket's file that nobody listens at is replaced", () => {
    const at = path();
    closeDescriptor(listenUnix(at));
    expect(lstatSync(at).isSocket()).toBe(true);
    closeDescriptor(listenAt(at));
  });

  test("a socket that is listened at is refused, and still listened at", async () => {
    const { path: at, connect } = serve();
    expect(() => listenAt(at)).toThrow(SocketInUseError);
    await connect().barrier();
  });

  test("a file that is no socket is refused, and kept", () => {
    const at = path();
    writeFileSync(at, "precious");
    expect(() => listenAt(at)).toThrow(SocketInUseError);
    expect(lstatSync(at).size).toBe(8);
  });

  test("a path that is too long for a socket is refused before anything is made", () => {
    expect(() => listenAt(join(temporaryFolder(), "x".repeat(200)))).toThrow("at most 107 bytes");
  });
});
