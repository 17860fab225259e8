import { writeSync } from "node:fs";
import { expect, onTestFinished, test } from "vitest";
import { closeDescriptor } from "../../os/index.js";
import { createSession, PersistentSession } from "../session/index.js";
import { withSessions } from "./held-sessions.js";

test.each([
  ["2", 0x70730002, true],
  ["3, which is this one's", 0x70730003, true],
  ["4", 0x70730004, false],
  ["no daemon", 1, false],
])("a session of version %s goes on, or another begins", (_version, word, goesOn) => {
  const former = createSession();
  new PersistentSession(former).loggedId = 7n;
  writeSync(former.file, Uint32Array.of(word), 0, 4, 0);
  const fds = [former.file, ...former.ends];
  const passed = fds.map((fd, i) => ({ name: `${["file", "in", "out"][i]}.3@guest`, fd }));

  const [guest] = withSessions([{ name: "guest" }], passed);
  if (guest === undefined) throw new Error("no guest");
  const { file, ends } = guest.session;
  onTestFinished(() => {
    for (const fd of [file, ...ends]) closeDescriptor(fd);
  });
  expect(new PersistentSession(guest.session).loggedId).toBe(goesOn ? 7n : undefined);
});
