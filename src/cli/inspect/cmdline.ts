import { commandLine } from "../../memory/system/command-line.js";
import type { View } from "./view.js";

export const cmdline: View = {
  name: "cmdline",
  summary: "the kernel's command line",

  show({ kernel }) {
    const line = commandLine(kernel);
    return { lines: [line], json: () => line };
  },
};
