import type { TestProject } from "vitest/node";
import { prepare } from "../../vm/prepare.js";
import { VmUnavailable } from "../../vm/unavailable.js";

declare module "vitest" {
  export interface ProvidedContext {
    /** Why no guest can be run here; empty where it can. */
    guestsUnavailable: string;
  }
}

/** Makes what the guests need, once, before the tests of this folder. */
export default async function setup(project: TestProject): Promise<void> {
  let reason = "";
  try {
    await prepare();
  } catch (error) {
    if (!(error instanceof VmUnavailable) || process.env.CI === "true") throw error;
    reason = error.message;
    console.error(`The tests in test/vm, with real guests, are skipped: ${reason}`);
  }
  project.provide("guestsUnavailable", reason);
}
