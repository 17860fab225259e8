import { Command, CommanderError } from "commander";
import { printableText } from "../records/printable.js";
import { errorLine, USAGE, UserError, warn } from "../service/errors.js";
import { version } from "../version.js";
import { addCommands } from "./commands.js";
import { EXAMPLES, HELP } from "./help.js";
import { writeOut } from "./stdout.js";

/** What `--help` and `--version` tell, written at the end: commander doesn't wait for an error. */
let help = "";

/** The command that runs. */
let running: Command | undefined;

const program = new Command("virtio-pstore")
  .description("A guest's last words on the host: a virtio-pstore device for any vhost-user VMM.")
  .version(version, "-V, --version", "print the version")
  .helpOption("-h, --help", "print this help")
  .configureHelp(HELP)
  .configureOutput({
    writeOut: (text) => {
      help += text;
    },
    outputError: (text, write) => {
      write(`virtio-pstore: ${printableText(text).replace(/^error: /, "")}`);
    },
  })
  .exitOverride()
  .enablePositionalOptions()
  .helpCommand(false)
  .hook("preAction", (_, command) => {
    running = command;
  });

const [first] = process.argv.slice(2);
if (first !== "--version" && first !== "-V") await addCommands(program, first);
completeHelp(program);

// Whoever read our output went away (`| head`): no reason to end with a stack, or to end serving.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);

try {
  await program.parseAsync().catch(endOfParsing);
  if (help !== "") await writeOut(help);
} catch (error) {
  warn(errorLine(error), "error");
  process.exitCode = error instanceof UserError ? error.exitStatus : 1;
  if (process.exitCode === USAGE && running !== undefined) {
    process.stderr.write(`${hint(running)}\n`);
  }
}

function endOfParsing(error: unknown): void {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? 0 : USAGE;
}

/** Gives every command, those of `erst` among them, the settings of all, its own hint and its examples. */
function completeHelp(command: Command): void {
  command.showHelpAfterError(hint(command));
  const examples = EXAMPLES[names(command).slice(1).join(" ")];
  if (examples !== undefined) {
    command.addHelpText("after", `\nExamples:\n${examples.map((line) => `  ${line}`).join("\n")}`);
  }
  for (const sub of command.commands) completeHelp(sub.copyInheritedSettings(command));
}

function hint(command: Command): string {
  return `Try \`${names(command).join(" ")} --help\`.`;
}

/** The program's name, and the words that name the command. */
function names(command: Command): string[] {
  const { parent } = command;
  return [...(parent === null ? [] : names(parent)), command.name()];
}
