export { FIRST_PASSED, notify, notifySocket, passedDescriptors } from "./notify.js";
export { type DaemonEnd, Supervisor } from "./supervisor.js";
