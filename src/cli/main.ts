import { Command, CommanderError } from "commander";
import { printableText } from "../analysis/printable.js";
import { version } from "../version.js";
import { addCommands } from "./commands.js";
import { errorLine, USAGE, UserError, warn } from "./errors.js";
import { writeOut } from "./stdout.js";

/** What `--help` and `--version` tell, written at the end: commander doesn't wait for an error. */
let help = "";

/** The command that runs. */
let running: Command | undefined;

const program = new Command("virtio-pstore")
  .description("A guest's last words on the host: a virtio-pstore device for any vhost-user VMM.")
  .version(version)
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
hintAtHelp(program);

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

/** For every command, those of `erst` among them, what was set for all and its own hint. */
function hintAtHelp(command: Command): void {
  command.showHelpAfterError(hint(command));
  for (const sub of command.commands) hintAtHelp(sub.copyInheritedSettings(command));
}

function hint(command: Command): string {
  let name = command.name();
  for (let { parent } = command; parent !== null; { parent } = parent) {
    name = `${parent.name()} ${name}`;
  }
  return `Try \`${name} --help\`.`;
}
