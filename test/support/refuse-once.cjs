// Loaded into a daemon with `node --require`: the disk is full for data with `refused-WORD` in them, once for
// each WORD, also where the daemon is another one by then: files in $REFUSALS tell. The daemon itself knows
// nothing of this.
const fs = require("node:fs");
const { syncBuiltinESMExports } = require("node:module");
const { join } = require("node:path");

const { existsSync, writeFileSync, writevSync } = fs;

fs.writevSync = (fd, data, ...rest) => {
  const [word] = /refused-\w+/.exec(Buffer.concat(data).toString("latin1")) ?? [];
  const told = join(process.env.REFUSALS, `.${word}`);
  if (word === undefined || existsSync(told)) return writevSync(fd, data, ...rest);
  writeFileSync(told, "");
  throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC", errno: -28, syscall: "writev" });
};
syncBuiltinESMExports();
