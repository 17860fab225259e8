export { check } from "./check.js";
export { closeDescriptor, openFolderOf, openPlace, setNonBlocking, tryLock } from "./descriptor.js";
export { errno, errnoOf, SystemError } from "./errno.js";
export { EventLoop } from "./event-loop.js";
export { createEventfd, drain, signal } from "./eventfd.js";
export { ExitTracer } from "./exit-tracer.js";
export { type Claim, FairQueue } from "./fair-queue.js";
export { type Bytes, copyOf, ForeignBytes, MAX_VECTOR, writeForeign } from "./foreign-bytes.js";
export { groupId } from "./group.js";
export { watchKicks } from "./kicks.js";
export {
  Allow,
  type LandlockOptions,
  type LandlockRule,
  landlockAbi,
  replaceProcess,
  restrictThread,
  setNoNewPrivileges,
} from "./landlock.js";
export { cannotShrink, createMemfd, Mapping, sealLength } from "./mapping.js";
export { NotedReceive } from "./noted-receive.js";
export { endWithParent } from "./parent.js";
export { createPipe, readInto, splice } from "./pipe.js";
export { hasReader, POLLIN, poll } from "./poll.js";
export { renameNew } from "./rename.js";
export { nextData } from "./seek.js";
export type { Share } from "./share.js";
export {
  acceptUnix,
  bindDatagram,
  boundPath,
  connectDatagram,
  connectUnix,
  endListening,
  isListening,
  listenUnix,
  makePlainStream,
  messagePair,
  type Received,
  receive,
  send,
  socketPair,
} from "./unix-socket.js";
export { beginWriteBack } from "./write-back.js";
