/// <reference types="node" preserve="true" />
export { EventLoop, type Share } from "../../os/index.js";
export { ArgumentError } from "../virtqueue/arguments.js";
export {
  type Connection,
  doesntRead,
  isUnread,
  PlainConnection,
  type SessionStore,
  sendReply,
} from "./connection.js";
export type {
  DeviceQueue,
  DriverActivity,
  FrontEndEnd,
  LogEvent,
  StartedDriver,
  VirtioDevice,
} from "./device.js";
export { MAX_MEMORY_SLOTS, type SharedRegion } from "./memory-table.js";
export {
  END,
  type IncomingMessage,
  type ReceivedMessage,
  receiveMessage,
} from "./message-reader.js";
export * from "./protocol.js";
export { type ServeDeviceOptions, serveDevice } from "./serve-device.js";
export { Server, type ServerOptions } from "./server.js";
export { Session, type SessionOptions } from "./session.js";
export { descriptorNames, type SessionState } from "./session-state.js";
export {
  isListeningAt,
  listenAt,
  removeSocket,
  removeUnused,
  type SocketAccess,
  type SocketFile,
  SocketInUseError,
  socketFile,
} from "./socket-file.js";
