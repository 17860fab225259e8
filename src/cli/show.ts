import { statSync } from "node:fs";
import { type Command, Option } from "commander";
import { kernelOffset, type SymbolFiles, type Symbolizer } from "../analysis/symbols/index.js";
import { isStream, linePieces, printableLine, type RecordTypeName } from "../records/index.js";
import { USAGE, UserError, warn } from "../service/errors.js";
import { chromeText } from "./chrome.js";
import { addFilterOptions, type CrashFilter, isFiltered } from "./crash-filter.js";
import { CrashesAt } from "./crashes-at.js";
import { isColored, writeLog, writePieces } from "./log-text.js";
import { openPager } from "./pager.js";
import { recordsAt } from "./records-at.js";
import { showJson } from "./show-json.js";
import { expectNoTerminal, writeOut } from "./stdout.js";
import { addSymbolOptions, openSymbols } from "./symbol-options.js";
import { allOf, ofCrash, type TitledText, titledRecord } from "./titled-text.js";

interface ShowOptions extends CrashFilter, SymbolFiles {
  readonly all: boolean;
  readonly ftrace: boolean;
  readonly chrome: boolean;
  readonly console: boolean;
  readonly pmsg: boolean;
  readonly dmesg: boolean;
  readonly json: boolean;
  readonly raw: boolean;
  readonly force: boolean;
  readonly color: "auto" | "always" | "never";
  readonly pager: boolean;
}

/** What can't be had at once: of two options one names the other. */
const CONFLICTS: Readonly<Record<string, string[]>> = {
  json: ["all", "ftrace", "chrome", "console", "pmsg", "dmesg", "raw"],
  chrome: ["all", "console", "pmsg", "dmesg", "raw"],
  ftrace: ["console", "pmsg"],
  console: ["pmsg"],
  raw: ["dmesg", "color"],
};

export function addShow(program: Command): void {
  const flag = (flags: string, description: string) => {
    const option = new Option(flags, description).default(false);
    return option.conflicts(CONFLICTS[option.name()] ?? []);
  };
  const command = program
    .command("show")
    .summary("show a crash: its log's parts joined oldest first, decompressed")
    .description(
      "Shows the log of the newest crash, or of the one that CRASH names; or the text of one record's file. " +
        "Control characters in the guest's text appear as \\xNN, invisible ones as \\uNNNN. On a terminal the text " +
        "has colours and goes through a pager.",
    )
    .argument("<path>", "a directory of records or of guests, an ERST file, or a record's file")
    .argument(
      "[crash]",
      "a crash's name, as list prints it; or as much of it as is clear: web/dmesg-7, dmesg-7, web/7 or 7",
    )
    .addOption(flag("--all", "show every crash, oldest first"))
    .addOption(flag("--ftrace", "show the trace, not the log"))
    .addOption(flag("--chrome", "with --ftrace: print a Chrome JSON trace, which Perfetto opens"))
    .addOption(
      flag("--console", "show the console of the crash's boot; without CRASH, of the newest boot"),
    )
    .addOption(flag("--pmsg", "show what that boot's user space wrote to /dev/pmsg0"))
    .addOption(flag("--dmesg", "leave out the level before each line, as dmesg does"))
    .addOption(flag("--json", "print the crash and its log as a JSON object"))
    .addOption(flag("--raw", "print the guest's bytes unchanged; refused on a terminal"))
    .addOption(flag("--force", "allow --raw on a terminal"))
    .addOption(
      new Option("--color <when>", "use colours; auto: on a terminal, unless $NO_COLOR is set")
        .choices(["auto", "always", "never"])
        .default("auto"),
    )
    .option("--no-pager", "don't start $PAGER (or less) on a terminal");
  addFilterOptions(addSymbolOptions(command)).action(
    (path: string, name: string | undefined, options: ShowOptions) => show(path, name, options),
  );
}

function typeOf({ ftrace, console, pmsg }: ShowOptions): RecordTypeName {
  if (ftrace) return "ftrace";
  if (console) return "console";
  return pmsg ? "pmsg" : "dmesg";
}

async function show(path: string, name: string | undefined, options: ShowOptions): Promise<void> {
  expectNoTerminal(options);
  if (name !== undefined && (options.all || isFiltered(options))) {
    throw new UserError("CRASH names one crash: leave out --all and the filters", USAGE);
  }
  // A directory is read below, and what is skipped of an ERST file is told there.
  const only = statSync(path).isDirectory() ? undefined : recordsAt(path).only;
  if (options.chrome && !options.ftrace && only?.type !== "ftrace") {
    throw new UserError("--chrome is for --ftrace", USAGE);
  }
  if (only !== undefined && !options.json) {
    if (
      name !== undefined ||
      isFiltered(options) ||
      !["dmesg", only.type].includes(typeOf(options))
    ) {
      const others =
        "a crash's name, the filters, and --ftrace, --console or --pmsg of another type";
      throw new UserError(
        `${path} is one record, which is shown whole: leave out ${others}`,
        USAGE,
      );
    }
    await write([titledRecord(only, options.raw)], options);
    return;
  }
  const at = new CrashesAt(path, options);
  try {
    if (options.json) {
      await showJson(at, at.chosen(name), writeOut);
      return;
    }
    const type = typeOf(options);
    const all = name === undefined ? allOf(at, type) : [ofCrash(at, at.named(name), type)];
    if (all.length === 0) throw at.nothing(type);
    const texts = options.all ? all : all.slice(-1);
    await write(texts, options);
    if (texts.length < all.length) {
      const what = isStream(type) ? "boots" : type === "ftrace" ? "traces" : "crashes";
      warn(`this is the newest of ${all.length} ${what}; --all shows every one`);
    }
  } finally {
    at.close();
  }
}

async function write(texts: readonly TitledText[], options: ShowOptions): Promise<void> {
  const symbols = openSymbols(options);
  try {
    await writeWith(symbols, texts, options);
  } finally {
    symbols?.close();
  }
}

async function writeWith(
  symbols: Symbolizer | undefined,
  texts: readonly TitledText[],
  options: ShowOptions,
): Promise<void> {
  const output = openPager(options.pager && !options.raw);
  const color = isColored(options.color);
  for (const one of texts) {
    const title = one.title();
    if (title !== undefined) {
      if (output.isPager) await output.write(`${printableLine(title)}\n\n`);
      else warn(title);
    }
    const written = options.chrome
      ? await writePieces(output, chromeText(one.text(), one.guest))
      : await writeLog(output, one.text(), {
          ...options,
          color,
          // Of what nothing follows a pipe gets just the text.
          endLine: process.stdout.isTTY || one !== texts.at(-1),
          annotate: symbols === undefined ? undefined : annotator(symbols, one),
        });
    if (!written) break;
  }
  await output.end();
}

/** The panic says at its end what KASLR added to the addresses before it, so the text is read twice. */
function annotator(symbols: Symbolizer, one: TitledText): (lines: string) => Promise<string> {
  const offset = symbols.needsKernelOffset ? kernelOffset(linePieces(one.text())) : undefined;
  return (lines) => symbols.annotate(lines, offset);
}
