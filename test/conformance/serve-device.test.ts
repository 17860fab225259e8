import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { EventLoop } from "../../src/os/index.js";
import {
  ArgumentError,
  type LogEvent,
  type ServeDeviceOptions,
  serveDevice,
  type VirtioDevice,
} from "../../src/virtio/vhost-user/index.js";
import { EchoDevice } from "../support/echo-device.js";
import { DriverQueue } from "../support/fake-driver.js";
import { FakeFrontEnd, otherProcess } from "../support/fake-front-end.js";
import { GuestRam } from "../support/guest-ram.js";
import { closeAll, closing, echo } from "../support/in-process.js";
import { temporaryFolder } from "../support/in-process-server.js";
import { qemuConnect, qemuStart } from "../support/negotiations.js";
import { until } from "../support/patience.js";

afterEach(closeAll);

const text = Buffer.from("text");

const socketPath = () => join(temporaryFolder(), "socket");

async function start(path: string) {
  const frontEnd = closing(FakeFrontEnd.connect(path, otherProcess));
  const ram = closing(new GuestRam());
  const queue = closing(new DriverQueue(ram));
  await qemuConnect(frontEnd, [queue]);
  await qemuStart(frontEnd, ram, [queue]);
  return { frontEnd, ram, queue };
}

describe("serveDevice() shares its thread with the program", () => {
  test("timers run while nothing comes, and guests are answered while they do", async () => {
    const path = socketPath();
    const end = new AbortController();
    const createDevice = () => new EchoDevice();
    const served = serveDevice({ socketPath: path, createDevice, signal: end.signal });
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    await until(
      () => ticks > 10,
      () => "no timer ran",
    );
    const guest = await start(path);
    expect(await echo(guest, guest.queue, text)).toEqual(text);
    clearInterval(timer);
    end.abort();
    await served;
    expect(existsSync(path)).toBe(false);
    await guest.frontEnd.ended();
  });

  test("a request that a timer of the program completes is answered", async () => {
    const path = socketPath();
    const end = new AbortController();
    const device = new EchoDevice();
    device.holds = true;
    const createDevice = () => device;
    const served = serveDevice({ socketPath: path, createDevice, signal: end.signal });
    const guest = await start(path);
    const answer = echo(guest, guest.queue, text);
    await until(
      () => device.held > 0,
      () => "no request came",
    );
    // The loop waits by now for something that comes from outside.
    await sleep(20);
    device.complete();
    expect(await answer).toEqual(text);
    end.abort();
    await served;
  });

  test("it ends when the requests in flight are done", async () => {
    const path = socketPath();
    const end = new AbortController();
    const device = new EchoDevice();
    device.holds = true;
    let over = false;
    const served = serveDevice({
      socketPath: path,
      createDevice: () => device,
      signal: end.signal,
    }).then(() => {
      over = true;
    });
    const guest = await start(path);
    guest.queue.add([{ address: guest.ram.allocate(8), length: 8, writable: false }]);
    guest.queue.kick();
    await until(
      () => device.held > 0,
      () => "no request came",
    );
    end.abort();
    await sleep(20);
    expect(over).toBe(false);
    device.complete();
    await served;
    expect(device.closed).toBe(true);
  });

  test("several devices have one loop, and end on their own", async () => {
    const paths = Array.from({ length: 8 }, socketPath);
    const ends = paths.map(() => new AbortController());
    const served = paths.map((path, i) => {
      const signal = ends[i]?.signal;
      return serveDevice({ socketPath: path, createDevice: () => new EchoDevice(), signal });
    });
    for (const [i, path] of paths.entries()) {
      const guest = await start(path);
      expect(await echo(guest, guest.queue, text)).toEqual(text);
      guest.frontEnd.close();
      ends[i]?.abort();
      await served[i];
      expect(paths.filter((path) => existsSync(path))).toEqual(paths.slice(i + 1));
    }
  });

  test("a device that throws loses its connection; the next one gets another device", async () => {
    const path = socketPath();
    const end = new AbortController();
    const log: LogEvent[] = [];
    const devices: EchoDevice[] = [];
    const served = serveDevice({
      socketPath: path,
      createDevice: () => {
        const device = new EchoDevice();
        if (devices.length === 0) device.failure = new Error("a fault of the device");
        devices.push(device);
        return device;
      },
      signal: end.signal,
      log: (event) => log.push(event),
    });
    const first = await start(path);
    first.queue.add([{ address: first.ram.allocate(8), length: 8, writable: false }]);
    first.queue.kick();
    await first.frontEnd.ended();
    expect(log.map(({ message }) => message).join()).toContain("a fault of the device");
    first.frontEnd.close();
    const second = await start(path);
    expect(await echo(second, second.queue, text)).toEqual(text);
    end.abort();
    await served;
  });

  test("a loop that fails: the call rejects, and signals are the program's again", async () => {
    const path = socketPath();
    const listeners = () => process.listenerCount("SIGTERM") + process.listenerCount("SIGINT");
    const before = listeners();
    const served = serveDevice({ socketPath: path, createDevice: () => new EchoDevice() });
    expect(listeners()).toBe(before + 2);
    const rejected = expect(served).rejects.toThrow("it is broken");
    vi.spyOn(EventLoop.prototype, "turn").mockImplementation(() => {
      throw new Error("it is broken");
    });
    onTestFinished(() => {
      vi.restoreAllMocks();
    });
    // Wakes the loop.
    const frontEnd = closing(FakeFrontEnd.connect(path, otherProcess));
    await rejected;
    expect(listeners()).toBe(before);
    expect(existsSync(path)).toBe(false);
    await frontEnd.ended();
  });

  test("an AbortSignal that is aborted already: nothing is served", async () => {
    const path = socketPath();
    const createDevice = () => new EchoDevice();
    await serveDevice({ socketPath: path, createDevice, signal: AbortSignal.abort() });
    expect(existsSync(path)).toBe(false);
  });
});

describe("a wrong argument is named", () => {
  const right = { socketPath: "/nowhere/socket", createDevice: () => new EchoDevice() };

  test.each<[object | undefined, string]>([
    [undefined, "options must be an object, not undefined"],
    [{ ...right, socketPath: 7 }, "options.socketPath must be a path, not 7"],
    [{ ...right, socketPath: "" }, 'options.socketPath must be a path, not ""'],
    [
      { ...right, createDevice: new EchoDevice() },
      "options.createDevice must be a function, not an object",
    ],
    [{ ...right, signal: "SIGTERM" }, 'options.signal must be an AbortSignal, not "SIGTERM"'],
    [{ ...right, access: 0o660 }, "options.access must be an object, not 432"],
    [{ ...right, log: console }, "options.log must be a function, not an object"],
  ])("%#", async (options, message) => {
    const wrong = serveDevice(options as ServeDeviceOptions);
    await expect(wrong).rejects.toThrow(new ArgumentError(message));
    await expect(wrong).rejects.toMatchObject({ code: "WRONG_ARGUMENT" });
  });

  const echoDevice = () => Object.create(new EchoDevice()) as object;

  test.each<[string, unknown, string]>([
    ["nothing", undefined, " must be an object, not undefined"],
    [
      "features that are a number",
      { ...new EchoDevice(), features: 1 },
      ".features must be a bigint of bits 0 to 23 and 50 to 127, not 1",
    ],
    [
      "a feature of the transport",
      Object.assign(echoDevice(), { features: 1n << 32n }),
      ".features must be a bigint of bits 0 to 23 and 50 to 127, not 4294967296n",
    ],
    [
      "no queue",
      Object.assign(echoDevice(), { queueCount: 0 }),
      ".queueCount must be a whole number from 1 to 256, not 0",
    ],
    [
      "half a descriptor",
      Object.assign(echoDevice(), { maxDescriptors: 0.5 }),
      ".maxDescriptors must be a whole number from 1 to 32768, not 0.5",
    ],
    [
      "no process()",
      Object.assign(echoDevice(), { process: undefined }),
      ".process must be a function, not undefined",
    ],
  ])("a device with %s", async (_, device, message) => {
    const path = socketPath();
    const served = serveDevice({
      socketPath: path,
      createDevice: () => device as VirtioDevice,
      log: () => undefined,
    });
    closing(FakeFrontEnd.connect(path, otherProcess));
    await expect(served).rejects.toThrow(new ArgumentError(`options.createDevice()${message}`));
    expect(existsSync(path)).toBe(false);
  });
});
