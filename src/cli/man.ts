import type { Command } from "commander";
import { version } from "../version.js";
import { type CommandRow, commandTable } from "./command-table.js";
import { writeOut } from "./stdout.js";

export function addMan(program: Command): void {
  program
    .command("man")
    .summary("print the man page")
    .description("Prints the man page: read it with `virtio-pstore man | man -l -`.")
    .action(async () => {
      await writeOut(page(await commandTable()));
    });
}

/** Nothing in a text may be taken for a request or an escape of troff. */
const roff = (text: string): string =>
  text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^([.'])/gm, "\\&$1");

const entry = (title: string, text: string): string => `.TP\n.B ${roff(title)}\n${roff(text)}\n`;

function section(row: CommandRow): string {
  const { name, usage, description, options } = row;
  const lines = [
    ...row.arguments.map((argument) => entry(argument.name, argument.description)),
    ...options.map(({ flags, value, detail }) =>
      entry(`${flags.join(", ")}${value === undefined ? "" : ` ${value}`}`, detail),
    ),
  ];
  return `.SS ${roff(`virtio-pstore ${name} ${usage}`)}\n${roff(description)}\n${lines.join("")}`;
}

const EXIT_STATUS: readonly (readonly [string, string])[] = [
  ["0", "Done."],
  [
    "1",
    "An error, told in one line on stderr; for show, export and rm also that nothing was found, for list " +
      "and stats that something can't be read and was left out.",
  ],
  ["2", "A command line that isn't understood."],
];

const ENVIRONMENT: readonly (readonly [string, string])[] = [
  ["PAGER", "What show sends its text through on a terminal; less where it isn't set."],
  ["LESS", "Options of less: where it isn't set, FRX; otherwise R is added, for the colours."],
  ["TERM", "On a dumb terminal nothing is coloured unless --color asks for it."],
  ["NO_COLOR", "Where it is set and not empty, nothing is coloured unless --color asks for it."],
];

const FILES: readonly (readonly [string, string])[] = [
  [
    "DIRECTORY/dmesg-ID, ftrace-ID, console-ID, pmsg-ID",
    "Records, with .enc.z behind them where the guest compressed them, .gz where --compress did.",
  ],
  [
    "DIRECTORY/.index",
    "What the commands that read crashes have read, written where they may; made anew where it is missing " +
      "or damaged.",
  ],
  [
    "DIRECTORY/.control",
    "The socket at which status asks the daemon that serves the directory, unless --control named another.",
  ],
  [
    "DIRECTORY/.watched, DIRECTORY/.watched.lock",
    "The crashes that watch has run its command for, and what keeps a second watch from them.",
  ],
];

function page(table: readonly CommandRow[]): string {
  const entries = (rows: readonly (readonly [string, string])[]) =>
    rows.map(([title, text]) => entry(title, text)).join("");
  return `.TH VIRTIO\\-PSTORE 1 "" "virtio\\-pstore ${roff(version)}"
.SH NAME
virtio\\-pstore \\- keep and read a virtual machine's last words
.SH SYNOPSIS
.B virtio\\-pstore
.I COMMAND
[\\fIOPTION\\fR]...
.SH DESCRIPTION
A virtio\\-pstore device for any VMM with vhost\\-user: when a Linux guest dies, its log is on the host, and
these commands read it.
.SH COMMANDS
${table.map(section).join("")}.SH EXIT STATUS
${entries(EXIT_STATUS)}.PP
run exits with the VMM's status, which may be 1 or 2, too, with 127 where there is no such VMM, or with that of \\-\\-panic\\-status where a panic's record was stored.
.SH ENVIRONMENT
${entries(ENVIRONMENT)}.SH FILES
${entries(FILES)}`;
}
