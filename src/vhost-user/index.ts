export { EventLoop } from "../native/index.js";
export type { DeviceQueue, LogEvent, VirtioDevice } from "./device.js";
export { MAX_MEMORY_SLOTS } from "./memory-table.js";
export * from "./protocol.js";
export { listenAt, Server, type ServerOptions, SocketInUseError } from "./server.js";
export { Session, type SessionOptions } from "./session.js";
