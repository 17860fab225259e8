export { readTasks, type Tasks } from "./read-tasks.js";
export { latestClock, type RunQueue, readRunQueues } from "./run-queues.js";
export { Task } from "./task.js";
