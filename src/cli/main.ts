import { Command, CommanderError } from "commander";
import { printableText } from "../report/printable.js";
import { version } from "../version.js";
import { addCommands } from "./commands.js";
import { errorLine, USAGE, UserError, warn } from "./errors.js";

const program = new Command("virtio-pstore")
  .description("A guest's last words on the host: a virtio-pstore device for any vhost-user VMM.")
  .version(version)
  .configureOutput({
    outputError: (text, write) => {
      write(`virtio-pstore: ${printableText(text).replace(/^error: /, "")}`);
    },
  })
  .exitOverride()
  .enablePositionalOptions()
  .helpCommand(false);

const [first] = process.argv.slice(2);
if (first !== "--version" && first !== "-V") await addCommands(program, first);
hintAtHelp(program, program.name());

// Whoever read our output went away (`| head`): no reason to end with a stack, or to end serving.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : USAGE;
  } else {
    warn(errorLine(error), "error");
    process.exitCode = error instanceof UserError ? error.exitStatus : 1;
  }
}

/** For every command, those of `erst` among them, what was set for all and its own hint. */
function hintAtHelp(parent: Command, before: string): void {
  for (const command of parent.commands) {
    const name = `${before} ${command.name()}`;
    command.copyInheritedSettings(parent).showHelpAfterError(`Try \`${name} --help\`.`);
    hintAtHelp(command, name);
  }
}
