export { ask, NoReplyError } from "./client.js";
export { ControlError, type ControlErrorCode, type ControlReply } from "./protocol.js";
export { type ControlCommand, ControlServer } from "./server.js";
