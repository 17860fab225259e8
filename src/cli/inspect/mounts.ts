import { readMounts } from "../../memory/system/mounts.js";
import { readTasks } from "../../memory/tasks/index.js";
import type { View } from "./view.js";

/** As /proc/mounts writes what would end a word or a line. */
const escaped = (text: string): string =>
  text.replace(
    /[ \t\n\\]/g,
    (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, "0")}`,
  );

export const mounts: View = {
  name: "mounts",
  summary:
    "what the first process has mounted, as /proc/mounts; without a file system's own options",

  show({ kernel }) {
    const found = readMounts(kernel, readTasks(kernel).tasks);
    return {
      lines: found.map(({ device, place, type, flags }) =>
        [escaped(device), escaped(place), escaped(type), flags.join(",")].join(" "),
      ),
      json: () => found,
    };
  },
};
