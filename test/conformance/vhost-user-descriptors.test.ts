import { fstatSync } from "node:fs";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { closeDescriptor, createMemfd, socketPair } from "../../src/os/index.js";
import { libc } from "../../src/os/libc.js";
import { DescriptorQueue } from "../../src/service/session/descriptor-queue.js";
import { PersistentConnection } from "../../src/service/session/persistent-connection.js";
import { SessionFile } from "../../src/service/session/session-file.js";
import {
  type Connection,
  END,
  PlainConnection,
  type SessionState,
} from "../../src/virtio/vhost-user/index.js";
import type { RegionState } from "../../src/virtio/vhost-user/session-state.js";
import { descriptorsNow, runMortal } from "../support/mortal.js";
import { MSG_OOB, rawSend } from "../support/raw-send.js";
import { message, VU } from "../support/vhost-user-wire.js";

/** Files that can be told apart. */
const files = Array.from({ length: 16 }, (_, i) => createMemfd(`file-${i}`));
const names = new Map(files.map((fd, i) => [fstatSync(fd).ino, i]));
afterAll(() => {
  for (const fd of files) closeDescriptor(fd);
});

/** Bytes of the stream that one sendmsg(2) sends, with these files. */
interface Sent {
  readonly bytes: Uint8Array;
  readonly files: readonly number[];
  /** The last byte is urgent (MSG_OOB). */
  readonly urgent?: boolean;
  /** Whether the back-end reads what is there before the next is sent. */
  readonly read: boolean;
}

/** What a message was received with. */
type Seen = readonly [request: number, payload: string, files: readonly number[]];

/** What sendmsg(2) promises: files come with the first byte that they were sent with. */
function expected(sent: readonly Sent[]): Seen[] {
  const stream = Buffer.concat(sent.map(({ bytes }) => bytes));
  const filesAt = new Map<number, readonly number[]>();
  let at = 0;
  for (const one of sent) {
    filesAt.set(at, one.files);
    at += one.bytes.length;
  }
  const seen: Seen[] = [];
  for (let begin = 0; begin + 12 <= stream.length; ) {
    const end = begin + 12 + stream.readUInt32LE(begin + 8);
    if (end > stream.length) break;
    const payload = stream.toString("hex", begin + 12, end);
    seen.push([stream.readUInt32LE(begin), payload, filesAt.get(begin) ?? []]);
    begin = end;
  }
  return seen;
}

/** Goes on where the one before it was, and returns what takes all that waits, noted by the number of its message. */
function sessionOn(
  connection: Connection,
  seen: Map<number, Seen>,
  number: () => number,
): () => void {
  let regions = connection.savedState?.regions ?? [];
  for (const { file } of regions) closeDescriptor(connection.descriptor(file));
  connection.resumed();
  return () => {
    for (;;) {
      const received = connection.next();
      if (received === undefined || received === END) return;
      const { request, payload, descriptors } = received;
      const came = descriptors.map((fd) => names.get(fstatSync(fd).ino) ?? -1);
      const at = number();
      const now: Seen = [request, payload.toString("hex"), came];
      // Once more where it was seen and not done.
      expect(seen.get(at) ?? now).toEqual(now);
      seen.set(at, now);
      regions = [...regions, ...descriptors.map((fd) => regionOf(connection.nameOf(fd)))];
      for (const fd of descriptors) closeDescriptor(fd);
      connection.done(() => ({ regions, vrings: [] }) as unknown as SessionState, undefined);
    }
  };
}

const regionOf = (file: string): RegionState => ({
  file,
  guestAddress: 0n,
  size: 0n,
  userAddress: 0n,
  mmapOffset: 0n,
});

function plainly(sent: readonly Sent[]): Seen[] {
  const before = descriptorsNow();
  const [frontEnd, fd] = socketPair();
  const connection = new PlainConnection(fd);
  const seen = new Map<number, Seen>();
  const takeAll = sessionOn(connection, seen, () => seen.size);
  for (const one of sent) {
    sendOne(frontEnd, one);
    if (one.read) takeAll();
  }
  takeAll();
  connection.close();
  closeDescriptor(frontEnd);
  expect(descriptorsNow()).toEqual(before);
  return [...seen.values()];
}

function sendOne(fd: number, { bytes, files: withFiles, urgent }: Sent): void {
  const descriptors = withFiles.map((file) => files[file] ?? -1);
  rawSend(fd, bytes, descriptors, urgent === true ? MSG_OOB : 0);
}

interface Kept {
  readonly seen: Seen[];
  /** Each life ended by death, but for the last one. */
  readonly deaths: number;
}

/** Received by processes that are killed after so many steps each, but for the last one. */
function kept(sent: readonly Sent[], lives: readonly number[], option?: number): Kept {
  const before = descriptorsNow();
  const [frontEnd, fd] = socketPair();
  if (option !== undefined)
    libc.setsockopt(fd, SOL_SOCKET, option, new Uint8Array([1, 0, 0, 0]), 4);
  const [file, ...ends] = [SessionFile.create(), ...DescriptorQueue.create()] as const;
  const others = [...before, frontEnd, file, ...ends];
  const seen = new Map<number, Seen>();
  const left = [...lives];
  let deaths = 0;
  let steps = left.shift() ?? Number.POSITIVE_INFINITY;
  let connection: PersistentConnection | undefined;
  let takeAll: (() => void) | undefined;
  PersistentConnection.begin(new SessionFile(file), new DescriptorQueue(ends), () => fd)?.leave();

  const resume = () => {
    const keptFile = new SessionFile(file);
    connection = PersistentConnection.resume(keptFile, new DescriptorQueue(ends));
    if (connection === undefined) throw new Error("the connection is lost");
    return sessionOn(connection, seen, () => keptFile.committed.sequence);
  };
  const read = () => {
    for (;;) {
      const rest = runMortal(steps, others, () => {
        takeAll ??= resume();
        takeAll();
      });
      if (rest !== undefined) {
        steps = rest;
        return;
      }
      deaths++;
      takeAll = undefined;
      steps = left.shift() ?? Number.POSITIVE_INFINITY;
    }
  };
  for (const one of sent) {
    sendOne(frontEnd, one);
    if (one.read) read();
  }
  read();
  connection?.close();
  for (const one of [frontEnd, file, ...ends]) closeDescriptor(one);
  expect(descriptorsNow()).toEqual(before);
  const inOrder = [...seen.entries()].sort(([a], [b]) => a - b);
  return { seen: inOrder.map(([, one]) => one), deaths };
}

const { SET_OWNER, SET_VRING_KICK, SET_VRING_CALL, SET_MEM_TABLE, GET_FEATURES } = VU;
const header = message(SET_OWNER);
const kick = message(SET_VRING_KICK, Buffer.alloc(8, 1));
const call = message(SET_VRING_CALL, Buffer.alloc(8, 2));
const table = message(SET_MEM_TABLE, Buffer.alloc(40, 3));
const get = message(GET_FEATURES);

const sendOf = (bytes: Uint8Array, ...withFiles: number[]): Sent => ({
  bytes,
  files: withFiles,
  read: false,
});

const bytewise = (bytes: Uint8Array, filesAt: (i: number) => number[]): Sent[] =>
  [...bytes].map((byte, i) => sendOf(Uint8Array.of(byte), ...filesAt(i)));

const scenarios: readonly (readonly [name: string, sent: readonly Sent[]])[] = [
  ["with each its own", [sendOf(table, 0, 1), sendOf(kick, 2), sendOf(call, 3), sendOf(get)]],
  [
    "behind messages that should have none",
    [sendOf(header), sendOf(get), sendOf(get), sendOf(call, 4), sendOf(header), sendOf(kick, 5)],
  ],
  [
    "behind messages that lack theirs",
    [sendOf(kick), sendOf(table), sendOf(call, 6), sendOf(call), sendOf(table, 7, 8)],
  ],
  ["that nobody asked for", [sendOf(header, 9), sendOf(get), sendOf(get, 10), sendOf(call)]],
  [
    "with a payload alone, or with another one",
    [
      sendOf(table.subarray(0, 12)),
      sendOf(table.subarray(12), 0),
      sendOf(kick.subarray(0, 12), 1),
      sendOf(kick.subarray(12), 2),
      sendOf(call, 3),
    ],
  ],
  [
    "with part of a header",
    [sendOf(table.subarray(0, 6)), sendOf(table.subarray(6, 12), 0), sendOf(table.subarray(12), 1)],
  ],
  ["with a message's first byte", bytewise(kick, (i) => (i === 0 ? [4] : []))],
  ["with every byte", bytewise(kick, (i) => [i % 16])],
  [
    "with a message's last byte",
    [...bytewise(kick, (i) => (i === 19 ? [5] : [])), sendOf(call, 6)],
  ],
  ["with two messages at once", [sendOf(Buffer.concat([kick, call]), 1), sendOf(call, 2)]],
  [
    "with the end of one message and the next",
    [
      sendOf(kick.subarray(0, 15)),
      sendOf(Buffer.concat([kick.subarray(15), call]), 1),
      sendOf(call, 2),
    ],
  ],
  [
    "beside urgent bytes",
    [
      { ...sendOf(kick.subarray(0, 1)), urgent: true },
      { ...sendOf(kick.subarray(1, 5)), urgent: true },
      sendOf(kick.subarray(5)),
      sendOf(call, 1),
      { ...sendOf(get), urgent: true },
      sendOf(call, 2),
    ],
  ],
];

const SOL_SOCKET = 1;
/** socket(7): what a listening socket may have asked for, and what is accepted from it asks for, too. */
const asked = [
  ["SO_PASSCRED", 16],
  ["SO_PASSSEC", 34],
  ["SO_PASSPIDFD", 76],
] as const;

const readOften = (sent: readonly Sent[]) => sent.map((one) => ({ ...one, read: true }));

/** Any messages, cut anywhere, with files anywhere, read at any time. */
const anySent: fc.Arbitrary<Sent[]> = fc
  .record({
    messages: fc.array(
      fc.record({
        request: fc.constantFrom(...Object.values(VU)),
        length: fc.constantFrom(0, 0, 8, 40),
      }),
      { minLength: 1, maxLength: 8 },
    ),
    // A cut more often at a message's begin than elsewhere.
    cuts: fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }),
    otherCuts: fc.uniqueArray(fc.nat(400), { maxLength: 5 }),
    files: fc.array(fc.array(fc.nat(15), { maxLength: 3 }), { minLength: 16, maxLength: 16 }),
    urgent: fc.array(fc.boolean(), { minLength: 16, maxLength: 16 }),
    reads: fc.array(fc.boolean(), { minLength: 16, maxLength: 16 }),
  })
  .map(({ messages, cuts, otherCuts, files: filesOf, urgent, reads }) => {
    const parts = messages.map(({ request, length }) => message(request, Buffer.alloc(length, 7)));
    const stream = Buffer.concat(parts);
    const begins = parts.map((_, i) => Buffer.concat(parts.slice(0, i)).length);
    const at = [...begins.filter((_, i) => cuts[i]), ...otherCuts, 0, stream.length]
      .filter((cut) => cut <= stream.length)
      .sort((a, b) => a - b);
    return [...new Set(at)].slice(0, -1).map((from, i) => ({
      bytes: stream.subarray(
        from,
        at.find((cut) => cut > from),
      ),
      files: urgent[i] === true ? [] : (filesOf[i] ?? []),
      urgent: urgent[i] ?? false,
      read: reads[i] ?? false,
    }));
  });

describe("descriptors are a message's that came with its first byte, and no other's", () => {
  test.each(scenarios)("vhost-user: %s", (_name, sent) => {
    for (const one of [sent, readOften(sent)]) {
      expect(plainly(one)).toEqual(expected(one));
      expect(kept(one, []).seen).toEqual(expected(one));
    }
  });

  test.each(scenarios)(
    "vhost-user: %s, when the process is killed before any of its steps",
    (_name, sent) => {
      for (const one of [sent, readOften(sent)]) {
        let deaths = 1;
        let steps = 0;
        for (; deaths > 0; steps++) {
          const result = kept(one, [steps]);
          expect(result.seen).toEqual(expected(one));
          deaths = result.deaths;
        }
        // A system call for each message, and all that is done to keep it.
        expect(steps).toBeGreaterThan(8 * expected(one).length);
      }
    },
  );

  test.each(asked)(
    "vhost-user: on a socket that asks for more than descriptors (%s)",
    (_name, option) => {
      for (const [, sent] of scenarios) expect(kept(sent, [], option).seen).toEqual(expected(sent));
    },
  );

  test("vhost-user: wherever they are sent, and whenever processes are killed", () => {
    fc.assert(
      fc.property(anySent, fc.array(fc.nat(60), { maxLength: 4 }), (sent, lives) => {
        expect(plainly(sent)).toEqual(expected(sent));
        expect(kept(sent, lives).seen).toEqual(expected(sent));
      }),
      { numRuns: 300 },
    );
  });
});
