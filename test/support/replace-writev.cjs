// For what is loaded into a daemon with `node --require`: puts another function in writev(2)'s place, which gets
// the bytes to be written and a function that writes them. The errno of an error that it throws is the call's.
const koffi = require("koffi");

/** The bytes that an array of struct iovec at `address` is about. */
function gathered(address, count) {
  const vector = new BigUint64Array(koffi.view(address, 16 * count));
  const pieces = Array.from({ length: count }, (_, i) =>
    Buffer.from(koffi.view(vector[2 * i], Number(vector[2 * i + 1]))),
  );
  return Buffer.concat(pieces);
}

exports.replaceWritev = (replacement) => {
  const { errno, load } = koffi;
  let thrown;
  koffi.errno = () => thrown ?? errno.call(koffi);
  koffi.load = (...args) => {
    const library = load.apply(koffi, args);
    return {
      func: (prototype) => {
        const call = library.func(prototype);
        const isWritev = prototype.includes(" writev(");
        return (...values) => {
          thrown = undefined;
          if (!isWritev) return call(...values);
          const [fd, address, count] = values;
          try {
            return replacement(fd, gathered(address, count), () => call(fd, address, count));
          } catch (error) {
            if (error.errno === undefined) throw error;
            thrown = Math.abs(error.errno);
            return -1;
          }
        };
      },
    };
  };
};
