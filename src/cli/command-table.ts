import { Command } from "commander";
import { EXAMPLES, HELP } from "./help.js";

/** What `--help` tells of an option, for completion and the man page. */
export interface OptionRow {
  readonly flags: readonly string[];
  /** As `<file>` in `--state <file>`; undefined where it takes none. */
  readonly value: string | undefined;
  readonly choices: readonly string[];
  readonly description: string;
  /** With its choices and default. */
  readonly detail: string;
}

export interface ArgumentRow {
  readonly name: string;
  readonly description: string;
  readonly choices: readonly string[];
}

/** What `--help` tells of a command. */
export interface CommandRow {
  readonly name: string;
  readonly usage: string;
  readonly summary: string;
  readonly description: string;
  readonly arguments: readonly ArgumentRow[];
  readonly options: readonly OptionRow[];
  /** Whole command lines. */
  readonly examples: readonly string[];
}

/** Adds all commands to a program. */
export type AddAll = (program: Command) => Promise<void>;

/** The commands as commander knows them, in the order of `--help`; `erst check` is one of its own. */
export async function commandTable(addAll: AddAll): Promise<CommandRow[]> {
  const program = new Command("virtio-pstore")
    .enablePositionalOptions()
    .helpOption("-h, --help", "print this help")
    .configureHelp(HELP)
    .helpCommand(false);
  await addAll(program);
  return program.commands.flatMap((command) => rows(command, ""));
}

function rows(command: Command, before: string): CommandRow[] {
  const help = command.createHelp();
  const name = `${before}${command.name()}`;
  const options = help.visibleOptions(command).map((option) => ({
    flags: [option.short, option.long].filter((flag) => flag !== undefined && flag !== null),
    value: option.required || option.optional ? option.flags.replace(/^.* /, "") : undefined,
    choices: option.argChoices ?? [],
    description: option.description,
    detail: help.optionDescription(option),
  }));
  const own = {
    ...{ name, usage: command.usage(), summary: command.summary() || command.description() },
    ...{ description: command.description(), options, examples: EXAMPLES[name] ?? [] },
    arguments: command.registeredArguments.map((argument) => ({
      name: argument.name(),
      description: argument.description,
      choices: argument.argChoices ?? [],
    })),
  };
  return [own, ...command.commands.flatMap((sub) => rows(sub, `${name} `))];
}
