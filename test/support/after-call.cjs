// Loaded into a program with `node --require`: runs the shell command $THEN behind each of its calls of libc's
// function $CALL, as somebody would who waits for it. The program itself knows nothing of this.
const { spawnSync } = require("node:child_process");
const koffi = require("koffi");

const { CALL, THEN } = process.env;
const { load } = koffi;

koffi.load = (...args) => {
  const library = load.apply(koffi, args);
  return {
    func: (prototype) => {
      const call = library.func(prototype);
      if (!prototype.includes(` ${CALL}(`)) return call;
      return (...values) => {
        const result = call(...values);
        const number = koffi.errno();
        spawnSync("/bin/sh", ["-c", THEN], { stdio: "inherit" });
        koffi.errno(number);
        return result;
      };
    },
  };
};
