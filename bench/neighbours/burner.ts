// A process of `npm run bench:neighbours`'s control: burns a processor, and makes as many small files durable.
import { closeSync, fsyncSync, openSync, renameSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const [, , directory = "", perSecond, bytes] = process.argv;
const data = Buffer.alloc(Math.max(1, Math.round(Number(bytes))));
const parent = openSync(directory, "r");
process.on("SIGTERM", () => {
  process.exit();
});
console.log("begun");
const began = performance.now();
for (let done = 0; ; ) {
  const due = ((performance.now() - began) / 1000) * Number(perSecond);
  if (done >= due) {
    for (const until = performance.now() + 1; performance.now() < until; );
    await sleep(0);
    continue;
  }
  const temporary = join(directory, `.next-${done + 1}`);
  const name = join(directory, `dmesg-${done + 1}`);
  const fd = openSync(temporary, "w");
  writeSync(fd, data);
  fsyncSync(fd);
  closeSync(fd);
  renameSync(temporary, name);
  fsyncSync(parent);
  unlinkSync(name);
  done++;
}
