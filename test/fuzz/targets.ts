import type { FuzzTarget } from "./target.js";
import { Chains } from "./targets/chains.js";
import { Cores } from "./targets/cores.js";
import { Kernels } from "./targets/kernels.js";
import { Messages } from "./targets/messages.js";
import { Records } from "./targets/records.js";
import { Requests } from "./targets/requests.js";
import { Trace } from "./targets/trace.js";

/** Every target: its name, under which its corpus lies in corpus/, and how it is made. */
export const TARGETS: Readonly<Record<string, () => FuzzTarget>> = {
  messages: () => new Messages(),
  chains: () => new Chains(),
  requests: () => new Requests(),
  records: () => new Records(),
  trace: () => new Trace(),
  kernels: () => new Kernels(),
  cores: () => new Cores(),
};
