import { expect, test } from "vitest";
import { parseMaps } from "./maps.js";
import { umlLayout } from "./uml.js";

const MAPS = `60000000-60001000 r--p 00000000 fe:00 5425452 /usr/bin/linux.uml
60001000-606a6000 r-xp 00001000 fe:00 5425452 /usr/bin/linux.uml
606a6000-60a3b000 rwxp 006a6000 fe:00 5425452 /usr/bin/linux.uml
60a3b000-60a87000 rw-p 00000000 00:00 0
66daa000-67400000 rw-s 06daa000 00:1b 10273355 /dev/shm/#10273355 (deleted)
67400000-6e323000 rwxs 07400000 00:1b 10273355 /dev/shm/#10273355 (deleted)
6e800000-6e801000 rwxs 070aa000 00:1b 10273355 /dev/shm/#10273355 (deleted)
7f2134f52000-7f2134f55000 rw-p 00000000 00:00 0
7f2134f55000-7f2134f7b000 r--p 00000000 fe:00 339380 /usr/lib/libc.so.6
`;

test("a user-mode-linux's kernel lies at its own addresses, up to vmalloc's", () => {
  const placed = umlLayout(parseMaps(MAPS)) ?? [];
  expect(placed.map(({ start, block, from }) => [start, block.start, from])).toEqual(
    [0x60000000, 0x60001000, 0x606a6000, 0x60a3b000, 0x66daa000, 0x67400000, 0x6e800000].map(
      (start) => [start, start, 0],
    ),
  );
});

test.each([
  ["whose shared memory begins elsewhere", (maps: string) => maps.replaceAll(/s 0[67]/g, "s 00")],
  ["without shared memory", (maps: string) => maps.replaceAll("s 0", "p 0")],
  ["without anything", () => ""],
])("a process %s is none", (_, change) => {
  expect(umlLayout(parseMaps(change(MAPS)))).toBeUndefined();
});
