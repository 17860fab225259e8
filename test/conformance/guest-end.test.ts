import { appendFileSync, readFileSync, statSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { errno } from "../../src/os/index.js";
import { type GuestEnd, readEnds } from "../../src/records/index.js";
import { DirectoryStore } from "../../src/store/index.js";
import { DriverQueue } from "../support/fake-driver.js";
import { GuestRam } from "../support/guest-ram.js";
import { closeAll, closing, settle } from "../support/in-process.js";
import {
  qemuConnect,
  qemuStart,
  qemuStop,
  umlConnect,
  umlStart,
  umlStop,
} from "../support/negotiations.js";
import {
  connectFrontEnd,
  connectGuest,
  disconnectGuest,
  HeldCommitter,
  type PstoreGuest,
  type PstoreHost,
  pstoreHost,
  resetGuest,
  startGuest,
} from "../support/pstore-in-process.js";
import { F_EXTENDED } from "../support/pstore-wire.js";
import { wrapFiles } from "../support/store-files.js";
import { F_VERSION_1, VU, vringState } from "../support/vhost-user-wire.js";

const STARTED_MS = 1_700_000_000_000;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: STARTED_MS });
});

afterEach(() => {
  vi.useRealTimers();
  closeAll();
});

const DMESG = 1;
const FL_COMPRESSED = 1;
const features = F_VERSION_1 | F_EXTENDED;
const bootId = Buffer.alloc(16, 0xaa);
const boot = "aa".repeat(16);

const start = () => startGuest({}, { features, bootId });
const later = (ms: number) => vi.setSystemTime(Date.now() + ms);

/** What is kept of how guests ended, and what was told of what is amiss. */
const endsOf = ({ directory }: PstoreHost) => readEnds(directory).map(({ kind }) => kind);
const toldBy = ({ log }: PstoreHost) =>
  log.filter(({ code }) => /^NO_D/.test(code)).map(({ level, code }) => [level, code]);

const dump = ({ driver }: PstoreGuest, reason: string, flags = 0) =>
  driver.write({ type: DMESG, flags }, Buffer.from(`${reason}#1 Part1\nlast words\n`));

async function stop(guest: PstoreGuest): Promise<void> {
  await qemuStop(guest.frontEnd, guest.driver.queues);
}

describe("how a guest ended", () => {
  test("its VMM died while its driver ran: without a dump, and when, since when and of which boot is kept", async () => {
    const guest = await start();
    await guest.driver.open();
    later(90_000);
    disconnectGuest(guest);
    const timeMs = STARTED_MS + 90_000;
    expect(readEnds(guest.directory)).toEqual([
      { kind: "without-dump", connectedMs: STARTED_MS, timeMs, boot },
    ]);
    expect(toldBy(guest)).toEqual([["warn", "NO_DUMP"]]);
    expect(guest.log.at(-1)?.details).toEqual({ seconds: 90 });
  });

  test("in order, where its rings were stopped before: a poweroff, a suspended or paused machine, an unloaded driver", async () => {
    const guest = await start();
    await stop(guest);
    disconnectGuest(guest);
    expect(toldBy(guest)).toEqual([]);
    expect(endsOf(guest)).toEqual(["stopped"]);
  });

  test("of a driver that was reset, and began anew, the last start counts", async () => {
    const guest = await start();
    await dump(guest, "Panic");
    await resetGuest(guest, { features, bootId: Buffer.alloc(16, 0xbb) });
    disconnectGuest(guest);
    expect(readEnds(guest.directory)).toMatchObject([
      { kind: "without-dump", boot: "bb".repeat(16) },
    ]);
  });

  test.each([
    ["a panic's dump came", "Panic", "dumped"],
    ["a dump that the kernel made as it was restarted came", "Emergency", "dumped"],
    ["an oops's dump came, which a guest goes on after", "Oops", "without-dump"],
  ])("where %s", async (_, reason, kind) => {
    const guest = await start();
    await dump(guest, reason);
    disconnectGuest(guest);
    expect(endsOf(guest)).toEqual([kind]);
  });

  test("a dump that the guest compressed may be a panic's", async () => {
    const guest = await start();
    await dump(guest, "Oops", FL_COMPRESSED);
    disconnectGuest(guest);
    expect(endsOf(guest)).toEqual(["dumped"]);
  });

  test("a dump that isn't stored is none", async () => {
    const committer = new HeldCommitter();
    const guest = await startGuest({ committer }, { features });
    const written = dump(guest, "Panic");
    settle(guest.loop);
    committer.fail(errno.EIO);
    await written;
    disconnectGuest(guest);
    committer.release();
    expect(endsOf(guest)).toEqual(["without-dump"]);
  });

  test("a dump that waits for the disk as its VMM dies is waited for", async () => {
    const committer = new HeldCommitter();
    const guest = await startGuest({ committer }, { features });
    void dump(guest, "Panic").catch(() => undefined);
    settle(guest.loop);
    disconnectGuest(guest);
    expect(endsOf(guest)).toEqual([]);
    committer.release();
    settle(guest.loop);
    expect(endsOf(guest)).toEqual(["dumped"]);
  });

  test("no driver ever came: a warning, but where there was hardly time for it", async () => {
    const host = pstoreHost();
    for (const [ms, expected] of [
      [60_000, [["warn", "NO_DRIVER"]]],
      [1000, [["info", "NO_DRIVER"]]],
      [100, []],
    ] as const) {
      host.log.length = 0;
      const frontEnd = connectFrontEnd(host);
      await qemuConnect(frontEnd, []);
      later(ms);
      frontEnd.close();
      settle(host.loop);
      expect(toldBy(host), `${ms}`).toEqual(expected);
    }
    expect(endsOf(host)).toEqual(["no-driver", "no-driver"]);
  });

  test("of a front-end without VHOST_USER_PROTOCOL_F_STATUS, user-mode-linux, it isn't known unless its driver stopped", async () => {
    const host = pstoreHost();
    for (const isStopped of [false, true]) {
      const frontEnd = connectFrontEnd(host);
      const ram = closing(new GuestRam());
      const queues = [0, 1].map(() => closing(new DriverQueue(ram, { size: 256 })));
      await umlConnect(frontEnd);
      await umlStart(frontEnd, ram, queues);
      if (isStopped) await umlStop(frontEnd, queues);
      later(1);
      frontEnd.close();
      settle(host.loop);
    }
    expect(endsOf(host)).toEqual(["unknown", "stopped"]);
    expect(toldBy(host)).toEqual([]);
  });

  test("where we end the connection nothing is known of the guest", async () => {
    const guest = await start();
    guest.sessions.at(-1)?.close();
    expect(endsOf(guest)).toEqual([]);
    expect(toldBy(guest)).toEqual([]);
  });

  test("where we do so, and it had gone already, its last messages count", async () => {
    const guest = await start();
    const { frontEnd, driver } = guest;
    for (const index of driver.queues.keys()) {
      frontEnd.send(VU.SET_VRING_ENABLE, vringState(index, 0));
    }
    frontEnd.close();
    guest.sessions.at(-1)?.close();
    expect(endsOf(guest)).toEqual(["stopped"]);
  });

  test("what its driver does, and since when, is known while it is connected", async () => {
    const host = pstoreHost();
    const frontEnd = connectFrontEnd(host);
    const [session] = host.sessions;
    const driverNow = () => [session?.driver.state, session?.driver.sinceMs];
    await qemuConnect(frontEnd, []);
    expect([session?.connectedMs, ...driverNow()]).toEqual([STARTED_MS, "none", STARTED_MS]);
    const ram = closing(new GuestRam());
    const queues = [0, 1].map(() => closing(new DriverQueue(ram, { size: 128 })));
    later(10);
    await qemuStart(frontEnd, ram, queues);
    expect(driverNow()).toEqual(["running", STARTED_MS + 10]);
    later(10);
    await qemuStop(frontEnd, queues);
    expect(driverNow()).toEqual(["stopped", STARTED_MS + 20]);
    expect(session?.connectedMs).toBe(STARTED_MS);
  });

  test("where it can't be kept that is told, and so is the end", async () => {
    const committer = new HeldCommitter();
    const host = pstoreHost({ committer });
    const noteEnd = vi.spyOn(host.store, "noteEnd").mockImplementation(() => {
      throw Object.assign(new Error("ENOSPC"), { errno: errno.ENOSPC, code: "ENOSPC" });
    });
    disconnectGuest(await connectGuest(host, { features }));
    expect(noteEnd).toHaveBeenCalledOnce();
    expect(host.log.map(({ code }) => code).slice(-2)).toEqual(["STORE", "NO_DUMP"]);
  });
});

describe("the list of ends", () => {
  const ends = (count: number, kind: GuestEnd["kind"] = "without-dump", from = 0): GuestEnd[] =>
    Array.from({ length: count }, (_, i) => ({ kind, connectedMs: from + i, timeMs: from + i }));

  test("is there for the next process, which notes nothing twice, and goes on behind a line that was cut off", () => {
    const { directory, store } = pstoreHost();
    const [first, second] = ends(2, "stopped", 1);
    if (first === undefined || second === undefined) throw new Error("no ends");
    store.noteEnd(first);
    store.close();
    appendFileSync(join(directory, ".ends"), "17 1");
    const next = closing(new DirectoryStore(directory));
    next.noteEnd(first);
    next.noteEnd(second);
    expect(readEnds(directory)).toEqual([first, second]);
    expect(next.lastEnd).toEqual(second);
  });

  test("of each kind the newest hundred are kept, whatever a guest does that is its own front-end", () => {
    const { directory, store } = pstoreHost();
    for (const end of ends(3)) store.noteEnd(end);
    for (const end of ends(5000, "unknown", 10)) store.noteEnd(end);
    expect(readEnds(directory)).toEqual([...ends(3), ...ends(100, "unknown", 4910)]);
    expect(readFileSync(join(directory, ".ends")).length).toBeLessThan(100_000);
  });

  test("waits for the disk in no turn of the guest's, also where the file is made anew", () => {
    let synced = 0;
    const files = wrapFiles((call, _, run) => {
      if (call === "sync" || call === "datasync") synced++;
      return run();
    });
    const { directory, store } = pstoreHost({ files, committer: new HeldCommitter() });
    synced = 0;
    const inode = () => statSync(join(directory, ".ends")).ino;
    store.noteEnd({ kind: "unknown", connectedMs: 1, timeMs: 1 });
    const first = inode();
    for (const end of ends(2000, "unknown", 10)) store.noteEnd(end);
    expect(inode()).not.toBe(first);
    expect(synced).toBe(0);
  });

  test("begins anew where the owner removed it, and no older end comes back", () => {
    const { directory, store } = pstoreHost();
    for (const end of ends(999)) store.noteEnd(end);
    unlinkSync(join(directory, ".ends"));
    const later = ends(3, "without-dump", 5000);
    for (const end of later) store.noteEnd(end);
    expect(readEnds(directory)).toEqual(later);
  });
});
