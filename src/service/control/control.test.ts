import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { until } from "../../../test/support/patience.js";
import { listenUnix } from "../../os/index.js";
import { ask } from "./client.js";
import { MAX_REQUEST_BYTES } from "./protocol.js";
import { type ControlCommand, ControlServer } from "./server.js";

const echo: ControlCommand = (given) => Promise.resolve(given);

/** A server with the command `echo` and others, and where it listens. */
function serving(options: { patienceMs?: number; others?: [string, ControlCommand][] } = {}) {
  const { patienceMs, others = [] } = options;
  const folder = mkdtempSync(join(tmpdir(), "virtio-pstore-control-"));
  const path = join(folder, "control");
  const commands = new Map([["echo", echo], ...others]);
  const fd = listenUnix(path);
  const server = new ControlServer({
    fd,
    commands,
    ...(patienceMs === undefined ? {} : { patienceMs }),
  });
  onTestFinished(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });
  return path;
}

/** A connection, what came on it, and whether it has ended. */
class Client {
  readonly socket: Socket;
  text = "";
  isOver = false;

  constructor(path: string) {
    this.socket = connect({ path, allowHalfOpen: true });
    this.socket.on("data", (bytes) => {
      this.text += bytes.toString();
    });
    this.socket.on("error", () => undefined);
    for (const event of ["end", "close"]) {
      this.socket.on(event, () => {
        this.isOver = true;
      });
    }
    onTestFinished(() => {
      this.socket.destroy();
    });
  }

  /** So many replies, parsed. */
  async replies(count: number): Promise<unknown[]> {
    const lines = () => this.text.split("\n").slice(0, -1);
    await until(
      () => lines().length >= count || this.isOver,
      () => `${count} replies, but: ${this.text}`,
    );
    return lines().map((line) => JSON.parse(line) as unknown);
  }

  over(): Promise<void> {
    return until(
      () => this.isOver,
      () => "the connection never ended",
    );
  }
}

const request = (given: object, command = "echo") =>
  `${JSON.stringify({ version: 1, command, arguments: given })}\n`;

const result = (value: unknown) => ({ version: 1, result: value });
const failure = (code: string) => ({ version: 1, error: expect.objectContaining({ code }) });

/** That somebody else is answered. */
async function expectServed(path: string): Promise<void> {
  expect(await ask(path, "echo")).toEqual(result({}));
}

test("requests of one connection are answered in their order", async () => {
  const client = new Client(serving());
  client.socket.write([1, 2, 3].map((n) => request({ n })).join(""));
  expect(await client.replies(3)).toEqual([1, 2, 3].map((n) => result({ n })));
});

test("a client that says it asks no more gets its reply, and then the end", async () => {
  const client = new Client(serving());
  client.socket.end(request({ n: 1 }));
  expect(await client.replies(1)).toEqual([result({ n: 1 })]);
  await client.over();
});

test.each([
  ["garbage", "BAD_REQUEST"],
  ["[1]", "BAD_REQUEST"],
  ["null", "BAD_REQUEST"],
  ['{"version":1}', "BAD_REQUEST"],
  ['{"version":1,"command":["echo"]}', "BAD_REQUEST"],
  ['{"version":1,"command":"echo","arguments":[]}', "BAD_REQUEST"],
  ['{"command":"echo"}', "VERSION"],
  ['{"version":2,"command":"echo"}', "VERSION"],
  ['{"version":1,"command":"toString"}', "UNKNOWN_COMMAND"],
])("%s is answered with %s, and what comes behind it is served", async (line, code) => {
  const client = new Client(serving());
  client.socket.write(`${line}\n${request({ n: 1 })}`);
  expect(await client.replies(2)).toEqual([failure(code), result({ n: 1 })]);
});

test("a line is of 4096 bytes at most; a longer one is answered, and is the end", async () => {
  const path = serving();
  const fill = "x".repeat(MAX_REQUEST_BYTES - request({ s: "" }).length);
  const fitting = new Client(path);
  fitting.socket.write(request({ s: fill }));
  expect(await fitting.replies(1)).toEqual([result({ s: fill })]);
  for (const text of [request({ s: `${fill}x` }), "x".repeat(1 << 20)]) {
    const client = new Client(path);
    client.socket.write(text);
    expect(await client.replies(1)).toEqual([failure("TOO_LONG")]);
    await client.over();
  }
  await expectServed(path);
});

test("a command that fails is answered with its reason", async () => {
  const fail: ControlCommand = () => Promise.reject(new Error("no such thing"));
  const client = new Client(serving({ others: [["fail", fail]] }));
  client.socket.write(request({}, "fail"));
  expect(await client.replies(1)).toEqual([
    { version: 1, error: { code: "FAILED", message: "no such thing" } },
  ]);
});

test("whatever bytes come, each line is answered with one line", async () => {
  const path = serving();
  const lines = fc.array(
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes.filter((b) => b !== 0x0a))),
    { maxLength: 8 },
  );
  await fc.assert(
    fc.asyncProperty(lines, async (all) => {
      const client = new Client(path);
      client.socket.end(Buffer.concat(all.map((line) => Buffer.concat([line, Buffer.from("\n")]))));
      expect(await client.replies(all.length)).toHaveLength(all.length);
      client.socket.destroy();
    }),
    { numRuns: 50 },
  );
});

test("a client that is silent, or that sends byte by byte, is put out; others are served meanwhile", async () => {
  const path = serving({ patienceMs: 300 });
  const [silent, slow] = [new Client(path), new Client(path)];
  const drip = setInterval(() => slow.socket.write("x"), 20);
  await expectServed(path);
  await Promise.all([silent.over(), slow.over()]);
  clearInterval(drip);
  expect([silent.text, slow.text]).toEqual(["", ""]);
  await expectServed(path);
});

test("however many clients are silent, the next one is served", async () => {
  const path = serving();
  const silent = Array.from({ length: 100 }, () => new Client(path));
  await expectServed(path);
  // All but the last ones went for those who came behind them.
  await until(
    () => silent.filter(({ isOver }) => isOver).length >= 84,
    () => `${silent.filter(({ isOver }) => isOver).length} went`,
  );
  await expectServed(path);
  // It wasn't their time that was over.
  expect(silent.some(({ isOver }) => !isOver)).toBe(true);
});

test("a client that takes no reply isn't read meanwhile, and is put out; others are served", async () => {
  let asked = 0;
  const large: ControlCommand = () => {
    asked++;
    return Promise.resolve("x".repeat(4 << 20));
  };
  const path = serving({ patienceMs: 3000, others: [["large", large]] });
  const client = new Client(path);
  client.socket.pause();
  client.socket.write(request({}, "large").repeat(50));
  await until(
    () => asked > 0,
    () => "it was never asked",
  );
  await expectServed(path);
  let sent = 0;
  const feed = () =>
    client.socket.write(Buffer.alloc(65536, "x"), (error) => {
      if (error !== null && error !== undefined) return;
      sent++;
      feed();
    });
  feed();
  await sleep(500);
  // What the kernel takes.
  expect(sent).toBeLessThan(32);
  expect(asked).toBe(1);
  await until(
    () => client.socket.errored !== null,
    () => "it was never put out",
  );
  expect(client.text.length).toBeLessThan(4 << 20);
  await expectServed(path);
});

test("whoever asks while nobody listens any more is told so; who is answered by none, too", async () => {
  const folder = mkdtempSync(join(tmpdir(), "virtio-pstore-control-"));
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
  });
  const path = join(folder, "control");
  await expect(ask(path, "echo")).rejects.toMatchObject({ code: "ENOENT" });
  listenUnix(path);
  await expect(ask(path, "echo", 300)).rejects.toMatchObject({ code: "NO_REPLY" });
});
