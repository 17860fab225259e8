import { spawn } from "node:child_process";
import { expect, onTestFinished, test } from "vitest";
import { until } from "../support/patience.js";
import { type HangLimits, Watchdog } from "./watchdog.js";

/** A program under a watchdog: its process, and what was told of it. */
function watched(program: string, limits: Omit<HangLimits, "lookMs">) {
  const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  const told: string[] = [];
  const watchdog = new Watchdog(child.pid ?? 0, (how) => told.push(how), { lookMs: 10, ...limits });
  onTestFinished(() => {
    watchdog.end();
    child.kill("SIGKILL");
  });
  return {
    child,
    watchdog,
    told,
    isTold: () =>
      until(
        () => told.length > 0,
        () => "not told",
      ),
  };
}

test("a worker that spins is told of by its processor's time", async () => {
  const { told, isTold } = watched("for (;;);", { processorSeconds: 1, sleepingLooks: 1e9 });
  await isTold();
  expect(told).toEqual(["it takes more than 1 s of a processor"]);
});

test("a worker that waits for something that never comes is told of", async () => {
  const { told, isTold } = watched("setTimeout(() => undefined, 1e9);", {
    processorSeconds: 1e9,
    sleepingLooks: 50,
  });
  await isTold();
  expect(told).toEqual(["it waits for something without end"]);
});

test("a worker that gets no processor isn't told of, and neither is one that tells of its progress", async () => {
  const starved = watched("for (;;);", { processorSeconds: 60, sleepingLooks: 50 });
  starved.child.kill("SIGSTOP");
  const busy = watched("setInterval(() => console.log(), 10);", {
    processorSeconds: 1,
    sleepingLooks: 100,
  });
  let progress = 0;
  busy.child.stdout?.on("data", () => {
    busy.watchdog.progress();
    progress++;
  });
  await until(
    () => progress > 200,
    () => `${progress} steps`,
  );
  expect([starved.told, busy.told]).toEqual([[], []]);
});
