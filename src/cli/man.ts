import type { Command } from "commander";
import { version } from "../version.js";
import { type AddAll, type CommandRow, commandTable } from "./command-table.js";
import { writeOut } from "./stdout.js";

export function addMan(program: Command, addAll: AddAll): void {
  program
    .command("man")
    .summary("print the man page")
    .description("Prints the man page in troff's format.")
    .action(async () => {
      await writeOut(page(await commandTable(addAll)));
    });
}

/** Nothing in a text may be taken for a request or an escape of troff. */
const roff = (text: string): string =>
  text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^([.'])/gm, "\\&$1");

const entry = (title: string, text: string): string => `.TP\n.B ${roff(title)}\n${roff(text)}\n`;

/** A line of its own, as it is to be typed. */
const example = (line: string): string => `.P\n.EX\n${roff(line)}\n.EE\n`;

function section(row: CommandRow): string {
  const { name, usage, description, options, examples } = row;
  const lines = [
    ...row.arguments.map((argument) => entry(argument.name, argument.description)),
    ...options.map(({ flags, value, detail }) =>
      entry(`${flags.join(", ")}${value === undefined ? "" : ` ${value}`}`, detail),
    ),
  ];
  return `.SS ${roff(`virtio-pstore ${name} ${usage}`)}\n${roff(description)}\n${lines.join("")}${examples.map(example).join("")}`;
}

const EXIT_STATUS: readonly (readonly [string, string])[] = [
  ["0", "Done."],
  [
    "1",
    "An error, which a line on stderr names. Also: show, export or rm found nothing; list or stats skipped " +
      "what can't be read.",
  ],
  ["2", "The command line is wrong."],
];

const ENVIRONMENT: readonly (readonly [string, string])[] = [
  ["PAGER", "The pager that show starts on a terminal; less if it isn't set."],
  ["LESS", "Options of less: FRX if it isn't set; otherwise R is added, for the colours."],
  ["TERM", "A dumb terminal gets colours only with --color always."],
  ["NO_COLOR", "If it is set and not empty, there are colours only with --color always."],
];

const FILES: readonly (readonly [string, string])[] = [
  [
    "DIRECTORY/dmesg-ID, ftrace-ID, console-ID, pmsg-ID",
    "Records: with .enc.z if the guest compressed them, .gz if --compress did.",
  ],
  [
    "DIRECTORY/.index",
    "What commands have read of the crashes, to be faster the next time. It is made anew if it is missing or damaged.",
  ],
  [
    "DIRECTORY/.control",
    "The socket of the daemon that serves the directory, for status, unless --control names another.",
  ],
  [
    "DIRECTORY/.ends",
    "When the guest's VMM went away, and how. Remove it to clear what list shows of guests that ended without a dump.",
  ],
  [
    "DIRECTORY/.watched, DIRECTORY/.watched.lock",
    "The crashes that watch has run its command for, and a lock that keeps a second watch away.",
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
A virtio\\-pstore device for any VMM with vhost\\-user: when a Linux guest dies, its log is on the host. These
commands serve guests and read their logs.
.SH COMMANDS
${table.map(section).join("")}.SH EXIT STATUS
${entries(EXIT_STATUS)}.PP
run exits with the VMM's status, which may also be 1 or 2; with 127 if there is no such VMM; or with that of \\-\\-panic\\-status if a panic's record was stored.
.SH ENVIRONMENT
${entries(ENVIRONMENT)}.SH FILES
${entries(FILES)}`;
}
