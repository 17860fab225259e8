import type { Command } from "commander";

/** Adds each command. A command's module is loaded only where it is needed: most of a start is loading. */
const commands: Readonly<Record<string, (program: Command) => Promise<void>>> = {
  run: async (program) => (await import("./run.js")).addRun(program),
  serve: async (program) => (await import("./serve.js")).addServe(program),
  attach: async (program) => (await import("./attach.js")).addAttach(program),
  status: async (program) => (await import("./status.js")).addStatus(program),
  list: async (program) => (await import("./list.js")).addList(program),
  show: async (program) => (await import("./show.js")).addShow(program),
  follow: async (program) => (await import("./follow.js")).addFollow(program),
  watch: async (program) => (await import("./watch.js")).addWatch(program),
  stats: async (program) => (await import("./stats.js")).addStats(program),
  export: async (program) => (await import("./export.js")).addExport(program),
  inspect: async (program) => (await import("./inspect/command.js")).addInspect(program),
  rm: async (program) => (await import("./rm.js")).addRm(program),
  erst: async (program) => (await import("./erst/command.js")).addErst(program),
  completion: async (program) => {
    (await import("./completion.js")).addCompletion(program, addCommands);
  },
  man: async (program) => {
    (await import("./man.js")).addMan(program, addCommands);
  },
};

/** Adds the command that `name` is, or all of them where it is none, for help and what is like it. */
export async function addCommands(program: Command, name?: string): Promise<void> {
  const one = Object.hasOwn(commands, name ?? "") ? commands[name ?? ""] : undefined;
  for (const add of one === undefined ? Object.values(commands) : [one]) await add(program);
}
