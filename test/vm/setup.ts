import type { TestProject } from "vitest/node";
import { kernelNames } from "../../vm/kernel.js";
import { prepare } from "../../vm/prepare.js";
import { VmUnavailable } from "../../vm/unavailable.js";

declare module "vitest" {
  export interface ProvidedContext {
    /** Why no guest can be run here; empty where it can. */
    guestsUnavailable: string;
  }
}

/**
 * Makes what the guests need, once, before the tests of this folder; but for "uml-pstore" and "uml-builtin", which take
 * minutes and are made by the tests that use them.
 */
export default async function setup(project: TestProject): Promise<void> {
  let reason = "";
  try {
    await prepare(["qemu", ...kernelNames, "uml"]);
  } catch (error) {
    if (!(error instanceof VmUnavailable) || process.env.CI === "true") throw error;
    reason = error.message;
    console.error(`The tests in test/vm, with real guests, are skipped: ${reason}`);
  }
  project.provide("guestsUnavailable", reason);
}
