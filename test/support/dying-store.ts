// A process that is killed at the Nth system call of its store which changes something; in the middle of
// it, if it is a write: dying-store.js DIRECTORY ON-ERASE N. What it was told, and which files it is about
// to remove, it says on stdout, one JSON line each.
import { readFileSync, writeSync } from "node:fs";
import type { OnErase } from "../../src/store/index.js";
import { changes, wrapFiles, writeHalf } from "./store-files.js";
import { Scenario } from "./store-scenario.js";

const [directory = "", onErase = "keep", at = "0"] = process.argv.slice(2);
const say = (what: unknown) => writeSync(1, `${JSON.stringify(what)}\n`);
let left = Number(at);

const files = wrapFiles((call, args, run) => {
  if (changes(call, args) && --left === 0) {
    if (call === "write") writeHalf(args);
    process.kill(process.pid, "SIGKILL");
  }
  if (call === "unlink") say({ removes: readFileSync(args[0] as string, "latin1") });
  return run();
});

new Scenario(directory, { files, onErase: onErase as OnErase }, say).run();
