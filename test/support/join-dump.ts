import { type Dump, dumpText } from "../../src/analysis/index.js";

/** A dump's text as a whole. */
export const joinDump = (dump: Dump): Buffer => Buffer.concat([...dumpText(dump)]);
