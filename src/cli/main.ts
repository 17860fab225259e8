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
for (const command of program.commands) {
  command
    .copyInheritedSettings(program)
    .showHelpAfterError(`Try \`virtio-pstore ${command.name()} --help\`.`);
}

// Whoever read our output went away (`| head`): no reason to end with a stack, or to end serving.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : USAGE;
  } else {
    warn(errorLine(error));
    process.exitCode = error instanceof UserError ? error.exitStatus : 1;
  }
}
