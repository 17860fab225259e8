import { existsSync } from "node:fs";
import { type Command, Option } from "commander";
import { MemoryError } from "../../memory/errors.js";
import { printableJson, printableText } from "../../records/printable.js";
import { USAGE, UserError, warn } from "../../service/errors.js";
import { endBySignal, onSignals } from "../../service/signals.js";
import { isRead } from "../is-read.js";
import { writeOut } from "../stdout.js";
import { type Look, withMemory } from "./look.js";
import { outputOption } from "./output-option.js";
import { parsePid } from "./pid.js";
import { daemonPlace, type Place } from "./place.js";
import { report } from "./report.js";
import type { View } from "./view.js";
import { VIEWS } from "./views.js";

interface InspectOptions extends Readonly<Record<string, unknown>> {
  readonly pid?: number;
  readonly control?: string;
  readonly guest?: string;
  readonly layout?: string;
  readonly json: boolean;
}

/** Lines are written in pieces that are about so long. */
const PIECE_CHARACTERS = 64 << 10;

/** How often --follow looks whether anybody reads. */
const READER_MS = 1000;

export function addInspect(program: Command): void {
  const command = program
    .command("inspect")
    .summary("look into a guest's memory: its log, tasks, stacks, trace, …")
    .description(
      "Reads the Linux in a guest's memory, without a driver in the guest and without debug information. SOURCE is " +
        "the file behind the guest's memory (memory-backend-file), also after the VMM has ended, or a core of the " +
        "guest. With --pid it is a VMM's process, with --control a guest of a running daemon, and there is no SOURCE. " +
        `A view is one of:\n\n${VIEWS.map(({ name, summary }) => `  ${name}: ${summary}`).join(
          "\n",
        )}`,
    )
    .argument("[source]", "a guest's memory file, or a core")
    .argument("[view...]", `what to show: ${VIEWS.map(({ name }) => name).join(", ")}`)
    .addOption(
      new Option("--pid <pid>", "read the memory of this VMM's process").argParser(parsePid),
    )
    .option(
      "--control <path>",
      "read the memory that a guest's VMM shares with the daemon that has this control socket, or this --directory",
    )
    .option("--guest <name>", "this guest's, if the daemon has several")
    .option(
      "--layout <layout>",
      "where the guest has the memory that is in the file: q35, pc, microvm, or START+SIZE,…",
    )
    .option("--json", "print a JSON object", false);
  for (const option of new Set(VIEWS.flatMap(({ options = [] }) => options))) {
    command.addOption(option);
  }
  command.action(
    (source: string | undefined, names: string[], options: InspectOptions, self: Command) =>
      inspect(source, names, options, self),
  );
}

async function inspect(
  first: string | undefined,
  rest: readonly string[],
  options: InspectOptions,
  command: Command,
): Promise<void> {
  const { pid, control } = options;
  const isNamed = pid !== undefined || control !== undefined;
  const views = viewsOf(isNamed && first !== undefined ? [first, ...rest] : rest);
  expectTaken(views, command);
  expectNewFile(views, options.output);
  const follow = options.follow === true ? views[0]?.follow : undefined;
  if (options.follow === true && (options.json || views.length > 1)) {
    throw new UserError("--follow is for one view, without --json", USAGE);
  }
  const place = await placeOf(isNamed ? undefined : first, options);
  await withMemory(place, options, (look) =>
    follow === undefined ? show(views, look, options.json) : followView(follow, look),
  );
}

async function placeOf(path: string | undefined, options: InspectOptions): Promise<Place> {
  const { pid, control, guest, layout } = options;
  if (control === undefined && guest !== undefined) {
    throw new UserError("--guest is for --control", USAGE);
  }
  if (control !== undefined) {
    if (pid !== undefined) throw new UserError("name either --pid or --control", USAGE);
    if (layout !== undefined) {
      throw new UserError("--layout isn't for --control: the VMM says where its memory is", USAGE);
    }
    return daemonPlace(control, guest);
  }
  if (pid !== undefined) return { name: `pid ${pid}`, source: pid };
  if (path !== undefined) return { name: path, source: path };
  throw new UserError(
    "name a guest's memory file or a core, a VMM's process with --pid, or a daemon with --control",
    USAGE,
  );
}

function viewsOf(names: readonly string[]): View[] {
  const views = names.map((name) => {
    const view = VIEWS.find((one) => one.name === name);
    if (view !== undefined) return view;
    throw new UserError(
      `there is no view ${JSON.stringify(name)}: ${VIEWS.map((one) => one.name).join(", ")}`,
      USAGE,
    );
  });
  if (views.length > 0) return views;
  return [report];
}

/** An option that none of the views takes was meant for something. */
function expectTaken(views: readonly View[], command: Command): void {
  for (const option of new Set(VIEWS.flatMap(({ options = [] }) => options))) {
    if (command.getOptionValueSource(option.attributeName()) !== "cli") continue;
    if (views.some((view) => view.options?.includes(option))) continue;
    const takers = VIEWS.filter((view) => view.options?.includes(option)).map(({ name }) => name);
    throw new UserError(`${option.long ?? option.flags} is for ${takers.join(", ")}`, USAGE);
  }
}

/** A file that can't be written is said before the work is done. */
function expectNewFile(views: readonly View[], output: unknown): void {
  if (typeof output !== "string") return;
  if (views.filter((view) => view.options?.includes(outputOption)).length > 1) {
    throw new UserError("--output is for one view at a time", USAGE);
  }
  if (existsSync(output)) throw new UserError(`${output} is there already: name a new file`);
}

/** A view that fails doesn't keep others from being shown, nor what is known of the reason. */
async function show(views: readonly View[], { looked, next }: Look, json: boolean): Promise<void> {
  const all: Record<string, unknown> = { source: looked.source };
  const notes: string[] = [];
  for (const view of views) {
    try {
      const shown = await view.show(looked);
      if (json) {
        all[view.name] = shown.json();
      } else {
        if (views.length > 1) await writeOut(`${view === views[0] ? "" : "\n"}${view.name}:\n`);
        if (!(await writeLines(shown.lines))) return;
      }
    } catch (error) {
      if (!(error instanceof MemoryError)) throw error;
      if (views.length === 1) {
        for (const line of next()) warn(line);
        throw error;
      }
      notes.push(`${view.name}: ${error.message}`);
      process.exitCode = 1;
    }
    notes.push(...next());
    if (!json) for (const line of notes.splice(0)) warn(line);
  }
  if (json) await writeOut(`${printableJson({ ...all, notes }, 2)}\n`);
}

async function writeLines(lines: Iterable<string>): Promise<boolean> {
  let piece = "";
  try {
    for (const line of lines) {
      piece += `${printableText(line).replaceAll("\n", "\\x0a")}\n`;
      if (piece.length < PIECE_CHARACTERS) continue;
      if (!(await writeOut(piece))) return false;
      piece = "";
    }
  } finally {
    // What was read until an error is shown.
    if (piece !== "") await writeOut(piece);
  }
  return true;
}

async function followView(
  follow: NonNullable<View["follow"]>,
  { looked, next }: Look,
): Promise<void> {
  const stop = new AbortController();
  onSignals(["SIGINT", "SIGTERM"], (name) => {
    if (stop.signal.aborted) endBySignal(name);
    stop.abort();
  });
  // A guest that is silent gives nothing to write, and nobody may be there any more to read it.
  const reader = setInterval(() => {
    if (!isRead()) stop.abort();
  }, READER_MS);
  try {
    for await (const line of follow(looked, stop.signal)) {
      if (!(await writeLines([line]))) break;
      for (const said of next()) warn(said);
    }
  } finally {
    clearInterval(reader);
  }
}
