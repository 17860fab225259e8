// Loaded into a daemon with `node --require`: the disk is full for data with `refused-WORD` in them, once for
// each WORD, also where the daemon is another one by then: files in $REFUSALS tell. The daemon itself knows
// nothing of this.
const { existsSync, writeFileSync } = require("node:fs");
const { constants } = require("node:os");
const { join } = require("node:path");
const { replaceWritev } = require("./replace-writev.cjs");

replaceWritev((_fd, bytes, write) => {
  const [word] = /refused-\w+/.exec(bytes.toString("latin1")) ?? [];
  const told = join(process.env.REFUSALS, `.${word}`);
  if (word === undefined || existsSync(told)) return write();
  writeFileSync(told, "");
  throw Object.assign(new Error("on purpose"), { errno: constants.errno.ENOSPC });
});
