import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

export const GREETING = '{"QMP": {"version": {}, "capabilities": []}}\n';
export const OK = '{"return": {}}\n';
export const status = (running: boolean) => `{"return": {"running": ${running}}}\n`;

/** A monitor that answers each command with the next line, and ends the connection behind them; and what it was told. */
export async function monitor(greeting: string, answers: readonly string[]) {
  const folder = mkdtempSync(join(tmpdir(), "virtio-pstore-qmp-"));
  const path = join(folder, "qmp");
  const told: string[] = [];
  const left = [...answers];
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.write(greeting);
    socket.on("data", (bytes) => {
      told.push((JSON.parse(bytes.toString()) as { execute: string }).execute);
      const answer = left.shift();
      if (answer === undefined) socket.end();
      else socket.write(answer);
    });
  });
  onTestFinished(() => {
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return { path, told };
}
