import { spawn } from "node:child_process";
import { expect, onTestFinished, test } from "vitest";
import { until } from "../../../test/support/patience.js";
import { VcpuThreads } from "./vcpu-threads.js";

/** Its only thread has that name, and takes CPU time until it is told to end. */
async function threadCalled(name: string) {
  const child = spawn(
    "python3",
    [
      "-c",
      `open("/proc/self/comm", "w").write(${JSON.stringify(name)})\nprint("named", flush=True)\nwhile True: pass`,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  await new Promise((resolve) => {
    child.stdout.once("data", resolve);
  });
  const threads = new VcpuThreads(child.pid ?? -1);
  onTestFinished(() => {
    threads.close();
  });
  return { child, threads };
}

test.each([
  ["CPU 3/TCG", 3],
  ["CPU 0/KVM", 0],
  ["vcpu1", 1],
  ["fc_vcpu 12", 12],
  ["kvm-vcpu-2", 2],
])("a thread that is called %s runs CPU %i, and how long is told", async (name, cpu) => {
  const { threads } = await threadCalled(name);
  const before = threads.times().get(cpu) ?? -1n;
  expect(before).toBeGreaterThan(0n);
  expect([...threads.times().keys()]).toEqual([cpu]);
  await until(
    () => (threads.times().get(cpu) ?? -1n) > before + 1_000_000n,
    () => `${threads.times().get(cpu)} after ${before}`,
  );
});

test("other threads run no CPU; a process that has ended has none, and is told from another of its number", async () => {
  const { child, threads } = await threadCalled("CPU x/TCG");
  expect(threads.times().size).toBe(0);
  expect(threads.hasEnded).toBe(false);
  child.kill("SIGKILL");
  await until(
    () => threads.hasEnded,
    () => "it goes on",
  );
  expect(threads.times().size).toBe(0);
});

test("a process that isn't there is said not to be", () => {
  expect(() => new VcpuThreads(2 ** 22 + 1)).toThrow(/there is no process/);
});
