import { mkdtempSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { formatRecordName, parseRecordName, type StreamTypeName } from "../records/record-name.js";
import { DirectoryStore } from "./directory-store.js";
import type { OnErase } from "./store-options.js";

/** What was acknowledged to the guest, and what became of it. */
interface Known {
  readonly text: string;
  readonly compressed: boolean;
  state: "shown" | "erased" | "removed by hand";
}

interface KnownStream {
  readonly type: StreamTypeName;
  /** Of the boot that it belongs to, where its driver told one. */
  readonly boot: string | undefined;
  text: string;
  /** The current boot's. */
  current: boolean;
}

interface Model {
  readonly onErase: OnErase;
  readonly dmesg: Map<bigint, Known>;
  readonly streams: Map<bigint, KnownStream>;
  /** The id that the current boot's driver told. */
  boot: string | undefined;
  /** The highest id that was ever given. */
  highest: bigint;
  writes: number;
}

interface Real {
  readonly directory: string;
  store: DirectoryStore;
}

const nameOf = (id: bigint, { compressed }: Known) =>
  formatRecordName({ type: "dmesg", id, compressed });

/** The store shows exactly what it should, whole, oldest first. */
function check(model: Model, { store, directory }: Real): void {
  const expected = new Map<string, string>();
  for (const [id, known] of model.dmesg) {
    if (known.state === "shown") expected.set(`dmesg-${id}`, known.text);
  }
  for (const [id, { type, text, current }] of model.streams) {
    if (!current) expected.set(`${type}-${id}`, text);
    expect(readFileSync(join(directory, `${type}-${id}`), "utf8")).toBe(text);
  }
  const records = store.visible.records(["dmesg", "console", "pmsg"]);
  expect(new Set(records.map(({ type, id }) => `${type}-${id}`))).toEqual(new Set(expected.keys()));
  records.forEach((record, i) => {
    const before = records[i - 1];
    if (before !== undefined) expect(record.id > before.id).toBe(true);
    const contents = store.visible.read(record, 1000);
    expect(contents?.data.toString()).toBe(expected.get(`${record.type}-${record.id}`));
  });
  // What is erased is hidden, and its file is where on-erase says.
  const files = new Set(readdirSync(directory));
  for (const [id, known] of model.dmesg) {
    const there = files.has(nameOf(id, known));
    if (known.state === "erased") expect(there).toBe(model.onErase === "keep");
    else expect(there).toBe(known.state === "shown");
  }
}

type Step = fc.Command<Model, Real>;

/** A command that says what it does where a failure is shown. */
function step(name: string, run: (model: Model, real: Real) => void): Step {
  return {
    check: () => true,
    run: (model, real) => {
      run(model, real);
      check(model, real);
    },
    toString: () => name,
  };
}

/** The id of a new file in the directory, which must be higher than any before it. */
function newId(model: Model, { directory }: Real, before: ReadonlySet<string>): bigint {
  const [name, ...more] = readdirSync(directory).filter(
    (entry) => parseRecordName(entry) !== undefined && !before.has(entry),
  );
  expect(more).toEqual([]);
  const id = parseRecordName(name ?? "")?.id ?? 0n;
  expect(id).toBeGreaterThan(model.highest);
  model.highest = id;
  return id;
}

const write = (compressed: boolean): Step =>
  step(`write(${compressed})`, (model, real) => {
    const before = new Set(readdirSync(real.directory));
    const text = `record ${model.writes++}`;
    real.store.write("dmesg", compressed, [Buffer.from(text)]);
    let answered = false;
    real.store.commit(({ writes }) => {
      expect(writes).toEqual([0]);
      answered = true;
    });
    expect(answered).toBe(true);
    model.dmesg.set(newId(model, real, before), { text, compressed, state: "shown" });
  });

const append = (type: StreamTypeName): Step =>
  step(`append(${type})`, (model, real) => {
    const before = new Set(readdirSync(real.directory));
    const text = `line ${model.writes++}\n`;
    real.store.append(type, [Buffer.from(text)]);
    const stream = [...model.streams.values()].find((one) => one.current && one.type === type);
    if (stream !== undefined) {
      stream.text += text;
      return;
    }
    model.streams.set(newId(model, real, before), { type, boot: model.boot, text, current: true });
  });

function begin(model: Model, boot: string | undefined): void {
  model.boot = boot;
  for (const stream of model.streams.values()) {
    stream.current = boot !== undefined && stream.boot === boot;
  }
}

const beginBoot = (boot: string | undefined): Step =>
  step(`beginBoot(${boot})`, (model, real) => {
    real.store.beginBoot(boot);
    begin(model, boot);
  });

const reopen = (): Step =>
  step("reopen", (model, real) => {
    real.store.close();
    begin(model, undefined);
    real.store = new DirectoryStore(real.directory, { onErase: model.onErase });
  });

const pick = (model: Model, seed: number): [bigint, Known] | undefined =>
  [...model.dmesg].at(-1 - (seed % Math.max(1, model.dmesg.size)));

const erase = (seed: number): Step =>
  step(`erase(${seed})`, (model, real) => {
    const [id, known] = pick(model, seed) ?? [99n, undefined];
    expect(real.store.erase("dmesg", id)).toBe(known?.state === "shown");
    real.store.commit(({ rest }) => {
      expect(rest).toBe(0);
    });
    if (known?.state === "shown") known.state = "erased";
  });

const removeByHand = (seed: number): Step =>
  step(`removeByHand(${seed})`, (model, real) => {
    const [id, known] = pick(model, seed) ?? [];
    if (id === undefined || known?.state !== "shown") return;
    unlinkSync(join(real.directory, nameOf(id, known)));
    known.state = "removed by hand";
  });

const putByHand = (ahead: number): Step =>
  step(`putByHand(${ahead})`, (model, real) => {
    const id = model.highest + BigInt(ahead);
    const text = `by hand ${model.writes++}`;
    writeFileSync(join(real.directory, `dmesg-${id}`), text);
    model.dmesg.set(id, { text, compressed: false, state: "shown" });
    model.highest = id;
  });

test("whatever happens, acknowledged records stay readable, ids increase strictly and what is hidden stays hidden", () => {
  const seeds = fc.nat(7);
  const steps = fc.commands(
    [
      fc.boolean().map(write),
      fc.boolean().map(write),
      fc.constantFrom<StreamTypeName>("console", "pmsg").map(append),
      fc.constantFrom(undefined, "a".repeat(32), "b".repeat(32)).map(beginBoot),
      fc.constant(reopen()),
      seeds.map(erase),
      seeds.map(removeByHand),
      fc.integer({ min: 1, max: 3 }).map(putByHand),
    ],
    { maxCommands: 30, size: "max" },
  );
  fc.assert(
    fc.property(fc.constantFrom<OnErase>("keep", "remove"), steps, (onErase, commands) => {
      const directory = mkdtempSync(join(tmpdir(), "pstore-model-"));
      const real: Real = { directory, store: new DirectoryStore(directory, { onErase }) };
      const model: Model = {
        onErase,
        dmesg: new Map(),
        streams: new Map(),
        boot: undefined,
        highest: 0n,
        writes: 0,
      };
      try {
        fc.modelRun(() => ({ model, real }), commands);
      } finally {
        real.store.close();
        rmSync(directory, { recursive: true });
      }
    }),
    { numRuns: 100 },
  );
});
