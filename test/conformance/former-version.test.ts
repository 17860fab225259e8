import { readdirSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterEach, expect, test } from "vitest";
import { PstoreDevice } from "../../src/device/index.js";
import {
  closeDescriptor,
  createEventfd,
  createPipe,
  errno,
  socketPair,
} from "../../src/os/index.js";
import { DescriptorQueue } from "../../src/service/session/descriptor-queue.js";
import { PersistentConnection } from "../../src/service/session/persistent-connection.js";
import { SessionFile } from "../../src/service/session/session-file.js";
import { DirectoryStore, RequestJournal } from "../../src/store/index.js";
import { type LogEvent, Session } from "../../src/virtio/vhost-user/index.js";
import { GuestRam, MIB } from "../support/guest-ram.js";
import { closeAll, closing, patientLoop, settle } from "../support/in-process.js";
import { temporaryFolder } from "../support/in-process-server.js";

afterEach(closeAll);

/**
 * What a daemon left that was killed behind its batches and before their commit: OPEN, READ, ERASE, READ on queue 0; a
 * line of the console that is there, one that the full disk refused, and a dump without its name on queue 1.
 */
interface Left {
  readonly queues: readonly { readonly used: number }[];
  /** Where the answer of each request goes. */
  readonly answers: readonly {
    readonly name: string;
    readonly address: number;
    readonly length: number;
  }[];
  /** What the session's descriptors are, by the names that they are kept under. */
  readonly descriptors: Readonly<Record<string, string>>;
  /** The records' directory: each file's text. */
  readonly directory: Readonly<Record<string, string>>;
  /** The guest's memory, and the session's file; both gzip, base64. */
  readonly memory: string;
  readonly file: string;
}

/** Closed as this process would close them by its end. */
function descriptor<T extends number>(fd: T): T {
  closing({
    close: () => {
      closeDescriptor(fd);
    },
  });
  return fd;
}

test("a session that a daemon of version 2 left goes on, and each of its requests is done once", () => {
  const path = new URL("../fixtures/session/version-2.json", import.meta.url);
  const left = JSON.parse(readFileSync(path, "utf8")) as Left;
  const unpack = (text: string) => gunzipSync(Buffer.from(text, "base64"));
  const directory = temporaryFolder();
  for (const [name, text] of Object.entries(left.directory)) {
    writeFileSync(join(directory, name), text, "latin1");
  }
  const ram = closing(new GuestRam([{ guestAddress: 0n, size: MIB }]));
  ram.bytes(0n, Number(MIB)).set(unpack(left.memory));
  const file = descriptor(SessionFile.create());
  writeSync(file, unpack(left.file));
  const ends = DescriptorQueue.create();
  ends.forEach(descriptor);
  const shelf = new DescriptorQueue(ends);
  const [, connected = -1] = socketPair().map(descriptor);
  shelf.put("session", [connected, ...createPipe().map(descriptor)]);
  for (const [name, what] of Object.entries(left.descriptors)) {
    const fd = what === "memory" ? ram.region(0).fd : descriptor(createEventfd());
    shelf.put(name.replace("#0", ""), [fd]);
  }

  const kept = new SessionFile(file);
  const connection = PersistentConnection.resume(kept, new DescriptorQueue(ends));
  if (connection === undefined) throw new Error("no session goes on");
  const loop = closing(patientLoop());
  const log: LogEvent[] = [];
  const push = (event: LogEvent) => log.push(event);
  const store = closing(new DirectoryStore(directory));
  const device = new PstoreDevice({
    store,
    journal: new RequestJournal(kept.journal),
    bufsize: 4096,
    maxData: 4096,
    types: ["dmesg", "console"],
    log: push,
  });
  const session = closing(new Session({ loop: loop.share(), connection, device, log: push }));
  settle(loop);

  expect(log).toEqual([]);
  expect(session.driver.state).toBe("running");
  const used = left.queues.map(({ used: at }) => ram.bytes(BigInt(at), 4).readUInt16LE(2));
  // Three dumps and a line of the console were stored before.
  expect(used).toEqual([4, 4 + 3]);
  const answers = left.answers.map(({ name, address, length }) => {
    const bytes = ram.bytes(BigInt(address), length);
    return [name, bytes.readInt32LE(4), bytes.subarray(48, 54).toString("latin1")];
  });
  expect(answers).toEqual([
    ["open", 0, ""],
    ["read", 0, "dump 1"],
    ["erase", 0, ""],
    ["read", 0, "dump 2"],
    ["append", 0, ""],
    ["refused", -errno.ENOSPC, ""],
    ["dump", 0, ""],
  ]);
  const text = (name: string) => readFileSync(join(directory, name), "latin1");
  const dumps = readdirSync(directory).filter((name) => name.startsWith("dmesg-"));
  expect(dumps.map(text).sort()).toEqual(["dump 1", "dump 2", "dump 3", "dump 4"]);
  expect(text("console-4")).toBe("line 1\nline 2\n");
  session.close();
  settle(loop);
  expect(text("console-4")).toBe("line 1\nline 2\n[virtio-pstore: 8 bytes are missing here]\n");
  expect(kept.committed.text).toBe("");
});
