import { expect, test } from "vitest";
import { closeDescriptor, readInto, send, socketPair } from "../../os/index.js";
import { END, type SessionState } from "../../virtio/vhost-user/index.js";
import { DescriptorQueue } from "./descriptor-queue.js";
import { PersistentConnection } from "./persistent-connection.js";
import { SessionFile } from "./session-file.js";

test("a connection whose process died while it closed it is ended by the next one", () => {
  const fileFd = SessionFile.create();
  const ends = DescriptorQueue.create();
  const [connection, frontEnd] = socketPair();
  const bytes = Buffer.alloc(1);
  try {
    const file = new SessionFile(fileFd);
    const kept = PersistentConnection.begin(file, new DescriptorQueue(ends), () => connection);
    // As close() begins; with the process, its descriptors go.
    file.commit({ sequence: 1, text: "" });
    kept?.leave();
    expect(readInto(frontEnd, bytes)).toBeUndefined();

    expect(
      PersistentConnection.resume(new SessionFile(fileFd), new DescriptorQueue(ends)),
    ).toBeUndefined();
    expect(readInto(frontEnd, bytes)).toBe(0);
  } finally {
    for (const fd of [fileFd, ...ends, frontEnd]) closeDescriptor(fd);
  }
});

test.each([
  [0xffffffff, 0, 1],
  [0xfffffffe, 0xffffffff, 0],
])("numbers of messages begin again behind the largest: %i, %i, %i", (last, begun, closed) => {
  const fileFd = SessionFile.create();
  const ends = DescriptorQueue.create();
  const [connection, frontEnd] = socketPair();
  try {
    const file = new SessionFile(fileFd);
    file.commit({ sequence: last, text: "" });
    const kept = PersistentConnection.begin(file, new DescriptorQueue(ends), () => connection);
    expect(file.committed.sequence).toBe(begun);
    kept?.close();
    expect(file.committed).toEqual({ sequence: closed, text: "" });
  } finally {
    for (const fd of [fileFd, ...ends, frontEnd]) closeDescriptor(fd);
  }
});

test("a front-end that closes without reading its replies is heard to its end", () => {
  const fileFd = SessionFile.create();
  const ends = DescriptorQueue.create();
  const [connection, frontEnd] = socketPair();
  const message = (request: number) => Buffer.from(Uint32Array.of(request, 1, 0).buffer);
  try {
    const kept = PersistentConnection.begin(
      new SessionFile(fileFd),
      new DescriptorQueue(ends),
      () => connection,
    );
    const next = () => kept?.next();
    const state = { regions: [], vrings: [] } as unknown as SessionState;
    send(frontEnd, Buffer.concat([1, 15, 17].map(message)));
    expect(next()).toMatchObject({ request: 1 });
    kept?.done(() => state, Buffer.alloc(20));
    closeDescriptor(frontEnd);
    // The kernel tells first that a reply was not read.
    expect(next()).toMatchObject({ request: 15 });
    kept?.done(() => state, Buffer.alloc(20));
    expect(next()).toMatchObject({ request: 17 });
    kept?.done(() => state, Buffer.alloc(20));
    expect(next()).toBe(END);
    kept?.close();
  } finally {
    for (const fd of [fileFd, ...ends]) closeDescriptor(fd);
  }
});
