// Loaded into a daemon with `node --require`: kills it before the n-th step of its event loop's thread,
// counted from when the file $KILL_POINT, which holds n, is there, and anew when it is there again. A step is a system call, be it Node's
// or ours, or an atomic store; between two of them only memory changes. The daemon itself knows nothing
// of this.
const fs = require("node:fs");
const { syncBuiltinESMExports } = require("node:module");
const { workerData } = require("node:worker_threads");

const file = process.env.KILL_POINT;

if (workerData?.stopFd !== undefined) {
  const { readFileSync, unlinkSync, statSync } = fs;
  let left;
  let arming = false;

  const arm = () => {
    // These two call what is replaced.
    arming = true;
    left = Number(readFileSync(file, "latin1"));
    unlinkSync(file);
    arming = false;
  };
  const step = () => {
    if (arming) return;
    if (statSync(file, { throwIfNoEntry: false }) !== undefined) arm();
    if (left === undefined || left-- > 0) return;
    process.kill(process.pid, "SIGKILL");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  };
  const stepping = (call) =>
    function (...args) {
      step();
      return call.apply(this, args);
    };

  for (const name of Object.keys(fs)) {
    if (name.endsWith("Sync")) fs[name] = stepping(fs[name]);
  }
  syncBuiltinESMExports();

  const koffi = require("koffi");
  const { load } = koffi;
  koffi.load = (...args) => {
    const library = load.apply(koffi, args);
    return { func: (prototype) => stepping(library.func(prototype)) };
  };

  Atomics.store = stepping(Atomics.store);
}
