import { execFileSync } from "node:child_process";
import { apt } from "./apt.js";
import type { Part } from "./part.js";
import { inVm } from "./paths.js";
import { unpackPackages } from "./unpack.js";

const root = inVm("trace-cmd");

/** trace-cmd of Debian 13, with the libraries it needs. */
export const traceCmdPart: Part = {
  label: "trace-cmd",
  directory: root,
  recipe: "1",
  needs: [],
  spaceBytes: 50e6,
  async make(temporary) {
    const packages = await apt("trixie").plan(["trace-cmd"]);
    await unpackPackages(apt("trixie"), packages, temporary, { label: "trace-cmd" });
  },
};

const MAX_OUTPUT_BYTES = 1 << 30;

/** Runs it; throws where it fails. */
export function traceCmd(args: readonly string[]): Buffer {
  const libraries = `${root}/usr/lib/x86_64-linux-gnu`;
  return execFileSync(
    `${libraries}/ld-linux-x86-64.so.2`,
    ["--library-path", libraries, `${root}/usr/bin/trace-cmd`, ...args],
    { maxBuffer: MAX_OUTPUT_BYTES, stdio: ["ignore", "pipe", "pipe"] },
  );
}
