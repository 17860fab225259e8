// Started as a daemon is, in its restrictions: tries what its arguments name, and tells how each way ended.
import { openSync, promises, renameSync, unlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import koffi from "koffi";

const [forbidden, allowed, pid] = process.argv.slice(2);

const attempt = (action) => {
  try {
    action();
    return "done";
  } catch (error) {
    return error.code;
  }
};

const inWorker = () =>
  new Promise((resolve) => {
    const code = `
      const { parentPort, workerData } = require("node:worker_threads");
      let result = "done";
      try { require("node:fs").openSync(workerData, "r"); } catch (error) { result = error.code; }
      parentPort.postMessage(result);`;
    new Worker(code, { eval: true, workerData: forbidden }).on("message", resolve);
  });

const throughFfi = () => {
  const open = koffi.load("libc.so.6").func("int open(const char *, int)");
  return open(forbidden, 0) >= 0
    ? "done"
    : (koffi.os.errno[koffi.errno()] ?? String(koffi.errno()));
};

const listening = () =>
  new Promise((resolve) => {
    const server = createServer();
    server.on("error", ({ code }) => resolve(code));
    server.listen(0, "127.0.0.1", () => {
      server.close();
      resolve("done");
    });
  });

const own = join(allowed, "file");
const results = {
  synchronous: attempt(() => openSync(forbidden, "r")),
  asynchronous: await promises.open(forbidden, "r").then(
    () => "done",
    ({ code }) => code,
  ),
  worker: await inWorker(),
  ffi: String(throughFfi()),
  written: attempt(() => writeFileSync(forbidden, "")),
  throughLink: attempt(() => openSync(join(allowed, "link"), "r")),
  tcp: await listening(),
  signal: attempt(() => process.kill(Number(pid), 0)),
  own: attempt(() => {
    writeFileSync(own, "text");
    renameSync(own, `${own}-2`);
    unlinkSync(`${own}-2`);
  }),
};
process.stdout.write(JSON.stringify(results));
