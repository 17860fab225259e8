import { constants } from "node:fs";
import { basename } from "node:path";
import { parseRecordName } from "../../src/records/index.js";
import { type Files, systemFiles } from "../../src/store/files.js";
import type { Expectation } from "./store-check.js";
import { wrapFiles } from "./store-files.js";
import type { Told } from "./store-scenario.js";

type Operation =
  | { readonly kind: "create"; readonly name: string; readonly inode: number }
  | { readonly kind: "rename"; readonly name: string; readonly to: string; readonly inode: number }
  | { readonly kind: "unlink"; readonly name: string; readonly inode: number }
  | { readonly kind: "write"; readonly inode: number; readonly data: Buffer }
  | { readonly kind: "truncate"; readonly inode: number; readonly bytes: number }
  | { readonly kind: "sync"; readonly inode: number }
  | { readonly kind: "sync directory" }
  | { readonly kind: "told"; readonly told: Told };

type NameOperation = Extract<Operation, { readonly name: string }>;

/** Records what a store does with one directory, and what it answers meanwhile. */
export class Recorder {
  readonly operations: Operation[] = [];
  readonly #names = new Map<string, number>();
  readonly #open = new Map<number, number | "directory">();
  #inodes = 0;

  readonly files: Files = wrapFiles((call, args, run) => {
    const result = run();
    this.#record(call, args, result);
    return result;
  });

  readonly told = (told: Told): void => {
    this.operations.push({ kind: "told", told });
  };

  #record(call: keyof Files, args: readonly unknown[], result: unknown): void {
    const [first, second] = args;
    switch (call) {
      case "open":
        this.#opened(first as string, second as number, result as number);
        break;
      case "write": {
        const data = Buffer.concat(second as Uint8Array[]).subarray(0, result as number);
        this.operations.push({ kind: "write", inode: this.#inode(first), data });
        break;
      }
      case "truncate":
        this.operations.push({
          kind: "truncate",
          inode: this.#inode(first),
          bytes: second as number,
        });
        break;
      case "rename":
      case "renameNew": {
        const [name, to] = [basename(first as string), basename(second as string)];
        const inode = this.#names.get(name) ?? 0;
        this.#names.delete(name);
        this.#names.set(to, inode);
        this.operations.push({ kind: "rename", name, to, inode });
        break;
      }
      case "unlink": {
        const name = basename(first as string);
        this.operations.push({ kind: "unlink", name, inode: this.#names.get(name) ?? 0 });
        this.#names.delete(name);
        break;
      }
      case "sync":
      case "datasync": {
        const inode = this.#open.get(first as number);
        this.operations.push(
          inode === "directory"
            ? { kind: "sync directory" }
            : { kind: "sync", inode: this.#inode(first) },
        );
        break;
      }
      default:
    }
  }

  #opened(path: string, flags: number, fd: number): void {
    if ((flags & constants.O_DIRECTORY) !== 0) {
      this.#open.set(fd, "directory");
      return;
    }
    const name = basename(path);
    let inode = this.#names.get(name);
    if (inode === undefined) {
      inode = ++this.#inodes;
      this.#names.set(name, inode);
      this.operations.push({ kind: "create", name, inode });
    }
    this.#open.set(fd, inode);
    if ((flags & constants.O_TRUNC) !== 0) {
      this.operations.push({ kind: "truncate", inode, bytes: 0 });
    }
  }

  #inode(fd: unknown): number {
    const inode = this.#open.get(fd as number);
    if (typeof inode !== "number") throw new Error(`descriptor ${String(fd)} isn't a file's`);
    return inode;
  }
}

/** A directory as the host may find it after a crash. */
export interface CrashState {
  readonly files: ReadonlyMap<string, Buffer>;
  readonly expected: Expectation;
}

/** What becomes of a file's data that wasn't synced. */
const FATES = ["kept", "lost", "torn", "zeros"] as const;

/** Of so many unsynced changes of names or fewer, every choice is tried. */
const MAX_EXHAUSTIVE = 6;
const SAMPLES = 24;

/**
 * The states in which a crash of the host can leave a directory, after any of the recorded operations, or
 * of those that are wanted.
 *
 * The model is weaker than what ext4, XFS or btrfs promise. A file's data is durable once the file was
 * synced; of what was written later, all is there, or nothing, or half of it, or its length with zeros
 * in place of the data. A change of a name (create, rename, unlink) is durable once the directory was
 * synced; of later ones any may be there without the others, in whatever order they were made: a
 * journal would keep their order, and a log of single files, as btrfs has, wouldn't. What syncs a file
 * makes no name durable. A rename is atomic, and so is a single change of a file's length.
 */
export function* crashStates(
  operations: readonly Operation[],
  isWanted: (end: number) => boolean = () => true,
): Generator<CrashState> {
  const seen = new Set<string>();
  for (let end = 0; end <= operations.length; end++) {
    if (!isWanted(end)) continue;
    const done = operations.slice(0, end);
    const expected = expectation(done);
    for (const names of nameStates(done)) {
      for (const fate of FATES) {
        const files = new Map<string, Buffer>();
        for (const [name, inode] of names) files.set(name, contents(done, inode, fate));
        const key = [
          ...[...files].sort().map(([name, data]) => `${name}=${data.toString("latin1")}`),
          expected.told.length,
        ].join("\n");
        if (seen.has(key)) continue;
        seen.add(key);
        yield { files, expected };
      }
    }
  }
}

const isName = (one: Operation): one is NameOperation => "name" in one;

/** Which names may be there. */
function* nameStates(done: readonly Operation[]): Generator<Map<string, number>> {
  const synced = done.findLastIndex(({ kind }) => kind === "sync directory");
  const durable = done.slice(0, synced + 1).filter(isName);
  const open = done.slice(synced + 1).filter(isName);
  for (const choice of choices(open.length)) {
    const names = new Map<string, number>();
    for (const one of [...durable, ...open.filter((_, i) => choice(i))]) {
      names.delete(one.name);
      if (one.kind === "create") names.set(one.name, one.inode);
      if (one.kind === "rename") names.set(one.to, one.inode);
    }
    yield names;
  }
}

/** Every choice among so many; of more, each prefix and some that are drawn. */
function* choices(count: number): Generator<(i: number) => boolean> {
  if (count <= MAX_EXHAUSTIVE) {
    for (let bits = 0; bits < 1 << count; bits++) yield (i) => ((bits >> i) & 1) !== 0;
    return;
  }
  for (let first = 0; first <= count; first++) yield (i) => i < first;
  let seed = count;
  for (let sample = 0; sample < SAMPLES; sample++) {
    // Numerical Recipes' generator: the same choices in every run.
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const bits = seed >>> 7;
    yield (i) => ((bits >> (i % 24)) & 1) !== 0;
  }
}

function contents(done: readonly Operation[], inode: number, fate: (typeof FATES)[number]): Buffer {
  const own = done.filter((one) => "inode" in one && one.inode === inode);
  const synced = own.findLastIndex(({ kind }) => kind === "sync");
  const before = applied(own.slice(0, synced + 1));
  const after = applied(own);
  if (fate === "kept" || after.equals(before)) return after;
  if (fate === "lost") return before;
  if (fate === "torn") return after.subarray(0, (before.length + after.length) >> 1);
  return Buffer.concat([
    after.subarray(0, before.length),
    Buffer.alloc(Math.max(0, after.length - before.length)),
  ]);
}

function applied(operations: readonly Operation[]): Buffer {
  let data: Buffer = Buffer.alloc(0);
  for (const one of operations) {
    if (one.kind === "write") data = Buffer.concat([data, one.data]);
    if (one.kind === "truncate") data = data.subarray(0, one.bytes);
  }
  return data;
}

function expectation(done: readonly Operation[]): Expectation {
  const told = done.flatMap((one) => (one.kind === "told" ? [one.told] : []));
  const stored = new Set(told.flatMap((one) => (one.kind === "stored" ? [one.text] : [])));
  let highest = 0n;
  const removed: string[] = [];
  for (const one of done) {
    if (one.kind === "unlink") removed.push(contents(done, one.inode, "kept").toString("latin1"));
    if (one.kind !== "rename") continue;
    const id = parseRecordName(one.to)?.id ?? 0n;
    const text = contents(done, one.inode, "kept").toString("latin1");
    if (stored.has(text) && id > highest) highest = id;
  }
  return { told, removed, highest };
}

/** Puts a state into an empty directory. */
export function restore(directory: string, { files }: CrashState): void {
  for (const [name, data] of files) {
    const flags = constants.O_WRONLY | constants.O_CREAT;
    const fd = systemFiles.open(`${directory}/${name}`, flags, 0o600);
    if (data.length > 0) systemFiles.write(fd, [data]);
    systemFiles.close(fd);
  }
}
