import { hex } from "../../memory/guest-text.js";
import {
  deadlockText,
  readLocks,
  type TaskName,
  type Wait,
  waitText,
} from "../../memory/locks/locks.js";
import { readTasks } from "../../memory/tasks/index.js";
import type { View } from "./view.js";

export const locks: View = {
  name: "locks",
  summary: "who waits for which lock, and who holds it; deadlocks",

  show({ kernel }) {
    const { waits, deadlocks } = readLocks(kernel, readTasks(kernel).tasks);
    return {
      lines:
        waits.length === 0
          ? ["no task waits for a lock"]
          : [
              ...deadlocks.map((circle) => `deadlock: ${deadlockText(circle)}`),
              ...waits.map(waitText),
            ],
      json: () => ({
        waits: waits.map(jsonWait),
        deadlocks: deadlocks.map((circle) => circle.map(({ task }) => task.pid)),
      }),
    };
  },
};

const jsonTask = ({ pid, name }: TaskName) => ({ pid, name });

function jsonWait({ task, lock, how, readers, holder }: Wait): unknown {
  return {
    ...jsonTask(task),
    lock: { ...lock, address: hex(lock.address) },
    holder: typeof holder === "object" ? jsonTask(holder) : (holder ?? null),
    ...(how === undefined ? {} : { how }),
    ...(readers === undefined ? {} : { readers }),
  };
}
