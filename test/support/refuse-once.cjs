// Loaded into a daemon with `node --require`: the disk is full for data with `refused-WORD` in them, once for
// each WORD, also where the daemon is another one by then: files in $REFUSALS tell. The daemon itself knows
// nothing of this.
const { existsSync, writeFileSync } = require("node:fs");
const { constants } = require("node:os");
const { join } = require("node:path");
const koffi = require("koffi");

/** The bytes that an array of struct iovec at `address` is about. */
function gathered(address, count) {
  const vector = new BigUint64Array(koffi.view(address, 16 * count));
  const pieces = Array.from({ length: count }, (_, i) =>
    Buffer.from(koffi.view(vector[2 * i], Number(vector[2 * i + 1]))),
  );
  return Buffer.concat(pieces);
}

const { errno, load } = koffi;
let failed = false;
koffi.errno = () => (failed ? constants.errno.ENOSPC : errno.call(koffi));
koffi.load = (...args) => {
  const library = load.apply(koffi, args);
  return {
    func: (prototype) => {
      const call = library.func(prototype);
      if (!prototype.includes(" writev(")) {
        return (...values) => {
          failed = false;
          return call(...values);
        };
      }
      return (fd, address, count) => {
        const [word] = /refused-\w+/.exec(gathered(address, count).toString("latin1")) ?? [];
        const told = join(process.env.REFUSALS, `.${word}`);
        failed = word !== undefined && !existsSync(told);
        if (!failed) return call(fd, address, count);
        writeFileSync(told, "");
        return -1;
      };
    },
  };
};
