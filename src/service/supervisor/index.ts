export { CONTROL_SOCKET, socketName, withSessions } from "./held-sessions.js";
export { forbiddenCall } from "./needs.js";
export {
  FIRST_PASSED,
  hold,
  letGo,
  notify,
  notifySocket,
  type PassedDescriptor,
  passedDescriptors,
} from "./notify.js";
export { type DaemonEnd, Supervisor } from "./supervisor.js";
