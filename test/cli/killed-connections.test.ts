import { expect, test } from "vitest";
import { FakeFrontEnd, HungUpError } from "../support/fake-front-end.js";
import { VU } from "../support/vhost-user-wire.js";
import { serveKillable } from "./killing.js";
import { stop } from "./support.js";

/** Whether a new connection is answered. */
async function isAnswered(socket: string): Promise<boolean> {
  const frontEnd = FakeFrontEnd.connect(socket);
  try {
    await frontEnd.askU64(VU.GET_FEATURES);
    return true;
  } catch (error) {
    if (error instanceof HungUpError) return false;
    throw error;
  } finally {
    frontEnd.close();
  }
}

test("a connection outlives a daemon that is killed at any step but the one behind accept(2)", async () => {
  const server = await serveKillable();
  let lost = 0;
  let rounds = 0;
  do {
    // The connection before is closed by now, and the daemon waits.
    expect(await isAnswered(server.socket)).toBe(true);
    await server.settled();
    server.killAt(rounds++);
    if (!(await isAnswered(server.socket))) lost++;
  } while (await server.died());
  expect(rounds).toBeGreaterThan(10);
  expect(lost).toBeLessThanOrEqual(1);
  expect((await stop(server.running)).status).toBe(0);
});
