import { loadedModules } from "../../memory/system/loaded-modules.js";
import { tableLines } from "./text.js";
import type { View } from "./view.js";

export const modules: View = {
  name: "modules",
  summary: "the loaded modules, as lsmod",

  show({ kernel }) {
    const found = loadedModules(kernel);
    return {
      lines: tableLines([
        ["Module", "Size", "Used by"],
        ...found.map(({ name, size, uses, usedBy, isPermanent, state }) => [
          name,
          String(size),
          [
            String(uses),
            [...usedBy, ...(isPermanent ? ["[permanent]"] : [])].join(","),
            state === "live" ? "" : `(${state})`,
          ]
            .filter((text) => text !== "")
            .join(" "),
        ]),
      ]),
      json: () => found,
    };
  },
};
