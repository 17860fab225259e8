import { expect, test } from "vitest";
import { GREETING, monitor, OK, status } from "../../../test/support/qmp-monitor.js";
import { isUnanswered, type Qmp, whilePaused } from "./qmp.js";

test("the guest is stopped for the task, and goes on; events lie between the answers", async () => {
  const event = '{"event": "STOP", "data": {}}\n';
  const { path, told } = await monitor(GREETING, [OK, status(true), event + OK, OK]);
  await whilePaused(path, () => told.push("the task"));
  expect(told).toEqual(["qmp_capabilities", "query-status", "stop", "the task", "cont"]);
});

test("a guest that doesn't run isn't made to", async () => {
  const { path, told } = await monitor(GREETING, [OK, status(false)]);
  await whilePaused(path, () => told.push("the task"));
  expect(told).toEqual(["qmp_capabilities", "query-status", "the task"]);
});

test("it goes on also where the task fails", async () => {
  const { path, told } = await monitor(GREETING, [OK, status(true), OK, OK]);
  const task = () => {
    throw new Error("no");
  };
  await expect(whilePaused(path, task)).rejects.toThrow("no");
  expect(told.at(-1)).toBe("cont");
});

test("it goes on also where QEMU doesn't know a command of the task's", async () => {
  const unknown = '{"error": {"desc": "no such command"}}\n';
  const { path, told } = await monitor(GREETING, [OK, status(true), OK, unknown, OK]);
  const task = (qmp: Qmp) => qmp.execute("human-monitor-command");
  await expect(whilePaused(path, task)).rejects.toThrow("no such command");
  expect(told.at(-1)).toBe("cont");
});

const NO_END = "x".repeat(17 << 20);

test("it goes on over another connection where the task lost the one", async () => {
  const answers = [OK, status(true), OK, NO_END, OK, OK];
  const { path, told } = await monitor(GREETING, answers);
  const task = (qmp: Qmp) => qmp.execute("human-monitor-command").catch(() => undefined);
  await whilePaused(path, task);
  expect(told.slice(-3)).toEqual(["human-monitor-command", "qmp_capabilities", "cont"]);
});

test("it goes on also where the connection was lost before it was told to be stopped", async () => {
  const { path, told } = await monitor(GREETING, [OK, status(true), NO_END, OK, OK]);
  await expect(whilePaused(path, () => told.push("the task"))).rejects.toThrow("without an end");
  expect(told.slice(-3)).toEqual(["stop", "qmp_capabilities", "cont"]);
});

test("a guest that can't be made to go on is told, and how to do it", async () => {
  const { path } = await monitor(GREETING, [OK, status(true), OK]);
  await expect(whilePaused(path, () => undefined)).rejects.toThrow(
    "the guest is still stopped (QEMU's monitor closed the connection): type cont at QEMU's monitor",
  );
});

test.each([
  [
    "QEMU's other monitor",
    "QEMU 11.1.3 monitor - type 'help'\r\n(qemu) \n",
    [],
    /isn't QEMU's QMP/,
  ],
  ["an error", GREETING, ['{"error": {"desc": "not now"}}\n'], /^not now$/],
  ["an end", GREETING, [], /closed the connection/],
])("%s is told, and the task isn't done", async (_, greeting, answers, message) => {
  const { path } = await monitor(greeting, answers);
  let done = false;
  const paused = whilePaused(path, () => {
    done = true;
  });
  await expect(paused).rejects.toThrow(message);
  expect(done).toBe(false);
});

test("nobody there is told", async () => {
  const error = await whilePaused("/nonexistent/qmp", () => undefined).catch((e: unknown) => e);
  expect(String(error)).toMatch(/ENOENT/);
  expect(isUnanswered(error)).toBe(true);
});

test("a monitor that closes the connection isn't nobody", async () => {
  const { path } = await monitor(GREETING, []);
  const error = await whilePaused(path, () => undefined).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(Error);
  expect(isUnanswered(error)).toBe(false);
});

test("an abort ends the wait for a monitor that doesn't answer", async () => {
  const { path } = await monitor("", []);
  const stopped = new AbortController();
  const paused = whilePaused(path, () => undefined, stopped.signal);
  stopped.abort();
  await expect(paused).rejects.toThrow(/ended before/);
});

test("a monitor whose line has no end is left before it fills the memory", async () => {
  const { path } = await monitor(GREETING + NO_END, []);
  await expect(whilePaused(path, () => undefined)).rejects.toThrow(
    "QEMU's monitor sends a line without an end",
  );
});
