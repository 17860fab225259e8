export { CONTROL_SOCKET, Keeper, type KeptDescriptors, socketName, withKept } from "./keeper.js";
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
