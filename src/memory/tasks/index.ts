export { readTasks, type Tasks } from "./read-tasks.js";
export { type RunQueue, RunQueues, readRunQueues } from "./run-queues.js";
export { Task } from "./task.js";
export {
  type BusyWorker,
  readWorkqueues,
  type StalledPool,
  type Workqueues,
  workOf,
} from "./workqueues.js";
