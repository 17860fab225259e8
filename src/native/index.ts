export { closeDescriptor, setNonBlocking, tryLock } from "./descriptor.js";
export { check, errno, errnoOf, SystemError } from "./errno.js";
export { EventLoop } from "./event-loop.js";
export { createEventfd, drain, signal } from "./eventfd.js";
export { createMemfd, Mapping } from "./mapping.js";
export { renameNew } from "./rename.js";
export {
  acceptUnix,
  connectUnix,
  isListening,
  listenUnix,
  type Received,
  receive,
  send,
  socketPair,
} from "./unix-socket.js";
