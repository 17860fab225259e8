// The entry point of the process that becomes a daemon's: it confines itself, then executes Node anew.
import { fileURLToPath } from "node:url";
import { confineThread } from "../daemon/confinement.js";
import { FIRST_PASSED } from "../holder/index.js";
import { endWithParent, replaceProcess } from "../native/index.js";
import type { DaemonStart } from "./supervised.js";

endWithParent();
const entry = fileURLToPath(new URL("./daemon-process.js", import.meta.url));
const json = process.argv[2] ?? "";
const { guests } = (JSON.parse(json) as DaemonStart).settings;
const confinement = confineThread(guests.map(({ directory }) => directory));
// Node reads files for them that it can't be allowed to.
process.env.OPENSSL_CONF = "/dev/null";
delete process.env.NODE_EXTRA_CA_CERTS;
const passed = Number(process.env.LISTEN_FDS ?? 0);
const args = [...process.execArgv, entry, json, JSON.stringify(confinement)];
replaceProcess(process.execPath, args, FIRST_PASSED + passed - 1);
