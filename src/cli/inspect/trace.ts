import { basename } from "node:path";
import { Option } from "commander";
import { guestText } from "../../memory/guest-text.js";
import type { Kernel } from "../../memory/kernel/index.js";
import { writeNew } from "../../memory/output-file.js";
import { Contexts } from "../../memory/trace/contexts.js";
import { Events } from "../../memory/trace/events.js";
import { type Instance, readInstances } from "../../memory/trace/instances.js";
import { jsonEvents } from "../../memory/trace/json.js";
import { bytesOf, MAX_COPIED_BYTES, type RingBuffer } from "../../memory/trace/ring-buffer.js";
import { traceLines } from "../../memory/trace/text.js";
import { traceDat } from "../../memory/trace/trace-dat.js";
import { USAGE, UserError } from "../../service/errors.js";
import { chromeText } from "../chrome.js";
import { outputOption } from "./output-option.js";
import type { Looked, Shown, View } from "./view.js";
import { writeOutput } from "./write-output.js";

/** The name of the instance that has none. */
const GLOBAL = "global";

/** Of each instance, the newest: JSON is made as a whole. */
const MAX_JSON_EVENTS = 200_000;

const PLAIN = /^[\t -~]*$/;

export const trace: View = {
  name: "trace",
  summary: "ftrace's buffers, as tracefs's file trace shows them",
  options: [
    new Option(
      "--instance <name>",
      `trace: only this instance of tracefs's instances/; the top one is ${GLOBAL}`,
    ),
    new Option("--chrome", "trace: as a Chrome JSON trace, for Perfetto").default(false),
    outputOption,
  ],

  async show(looked) {
    const { kernel, options } = looked;
    const events = new Events(kernel);
    const traced: Traced = { kernel, events, contexts: new Contexts(kernel, events) };
    const instances = chosen(readInstances(kernel), options.instance);
    if (typeof options.output === "string") {
      if (options.chrome === true) throw new UserError("--chrome goes to stdout, not -o", USAGE);
      const written = await writeDat(options.output, traced, instances);
      return { lines: [written], json: () => ({ written }) };
    }
    if (options.chrome === true) return chrome(looked, traced, instances);
    return {
      lines: textOf(traced, instances),
      json: () => ({ instances: instances.map((one) => instanceJson(traced, one)) }),
    };
  },
};

interface Traced {
  readonly kernel: Kernel;
  readonly events: Events;
  readonly contexts: Contexts;
}

const nameOf = ({ name }: Instance): string => name ?? GLOBAL;

function chosen(all: readonly Instance[], name: unknown): readonly Instance[] {
  if (name === undefined) return all;
  const found = all.filter((one) => nameOf(one) === name);
  if (found.length > 0) return found;
  const names = all.map(nameOf).join(", ");
  throw new UserError(`there is no instance ${JSON.stringify(name)}: ${names}`, USAGE);
}

/** One instance as its file; of several, each behind a line that names its file, as tail(1) does. */
function* textOf(traced: Traced, instances: readonly Instance[]): Generator<string, void, void> {
  for (const instance of instances) {
    const { name } = instance;
    const folder = name === undefined ? "" : `instances/${name}/`;
    const buffers: [file: string, read: () => RingBuffer | undefined][] = [
      ["trace", () => instance.buffer()],
      ["snapshot", () => instance.snapshot()],
    ];
    for (const [file, read] of buffers) {
      const buffer = traced.kernel.attempt(`${folder}${file}`, read);
      if (buffer === undefined) continue;
      if (instances.length > 1 || file !== "trace") yield `==> ${folder}${file} <==`;
      yield* linesOf(traced, instance, buffer);
    }
  }
}

function* linesOf(
  { kernel, events, contexts }: Traced,
  instance: Instance,
  buffer: RingBuffer,
  graphTimes = false,
): Generator<string, void, void> {
  for (const text of traceLines(kernel, events, contexts, instance, buffer, graphTimes)) {
    if (PLAIN.test(text)) yield text;
    // A stack, or a mark of several lines.
    else yield* guestText(text).split("\n");
  }
}

function instanceJson(traced: Traced, instance: Instance): unknown {
  const { kernel } = traced;
  const { clock, tracer, isOn } = instance;
  const name = nameOf(instance);
  const buffer = kernel.attempt(`instance ${name}`, () => instance.buffer());
  const { isCut, list } = jsonEvents(traced, instance, buffer, MAX_JSON_EVENTS);
  if (isCut) {
    kernel.notes.add(`instance ${name}: events before the newest ${list.length} are left out`);
  }
  return {
    ...{ name, tracer, isOn, clock: clock.name },
    cpus: (buffer?.cpus ?? []).map(({ cpu, entries, overrun, dropped }) => ({
      cpu,
      ...{ entries: String(entries), overrun: String(overrun), dropped: String(dropped) },
    })),
    events: list,
  };
}

/** A row for each CPU: two instances don't go into one, as each has its own order and maybe its own clock. */
function chrome(looked: Looked, traced: Traced, instances: readonly Instance[]): Shown {
  const [instance, ...others] = instances;
  if (instance === undefined) throw new UserError("the kernel has no instance of ftrace");
  if (others.length > 0) {
    traced.kernel.notes.add(
      `only instance ${nameOf(instance)} is shown; --instance takes ${others.map(nameOf).join(", ")}`,
    );
  }
  const pieces = chromeText(
    utf8Lines(linesOf(traced, instance, instance.buffer(), true)),
    basename(looked.source),
  );
  return {
    lines: linesIn(pieces),
    json: () => JSON.parse(Buffer.concat([...pieces]).toString("utf8")),
  };
}

function* utf8Lines(lines: Iterable<string>): Generator<Uint8Array, void, void> {
  for (const line of lines) yield Buffer.from(`${line}\n`);
}

function* linesIn(pieces: Iterable<Uint8Array>): Generator<string, void, void> {
  let rest = "";
  for (const piece of pieces) {
    const lines = (rest + Buffer.from(piece).toString("utf8")).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest !== "") yield rest;
}

async function writeDat(
  path: string,
  traced: Traced,
  instances: readonly Instance[],
): Promise<string> {
  const { kernel, events, contexts } = traced;
  let left = MAX_COPIED_BYTES;
  const copied = instances.flatMap((instance) => {
    const buffer = kernel.attempt(`instance ${nameOf(instance)}`, () => instance.buffer(left));
    if (buffer === undefined) return [];
    left -= bytesOf(buffer);
    return [{ instance, buffer }];
  });
  if (copied.length === 0) throw new UserError("there is no trace to write");
  const pieces = traceDat(kernel, events, contexts, copied);
  let bytes = 0;
  await writeOutput(path, (stop) =>
    writeNew(
      path,
      async (file) => {
        for (const piece of pieces) {
          file.write(bytes, piece);
          bytes += piece.length;
          await file.pause();
        }
      },
      stop,
    ),
  );
  const names = copied.map(({ instance }) => nameOf(instance)).join(", ");
  return `${path}: ${bytes} bytes, with ${names}`;
}
