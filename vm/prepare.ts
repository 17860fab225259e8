import { existsSync, realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { dropLists } from "./apt.js";
import { buildDriver, placeOf, type Target } from "./build.js";
import { initramfsPart } from "./initramfs.js";
import { withLock } from "./lock.js";
import { ensure, type Part } from "./part.js";
import { inVm } from "./paths.js";
import { qemuPart } from "./qemu.js";
import { umlBuiltinPart } from "./uml-builtin.js";
import { VmUnavailable } from "./unavailable.js";

/** Programs that are made as a whole. */
const programs: Readonly<Record<"qemu" | "uml-builtin", Part>> = {
  qemu: qemuPart,
  "uml-builtin": umlBuiltinPart,
};

/** A program; or a target, which is its kernel, what builds its driver, and the driver. */
export type Preparable = keyof typeof programs | Target;

const all: readonly Preparable[] = [
  ...(["qemu", "6.1", "6.12", "7.3"] as const),
  ...(["uml", "uml-pstore", "uml-builtin"] as const),
];

/**
 * Makes what guests need, unless it is there; without an argument everything. Throws VmUnavailable when
 * this machine can't have it: `reason` says why in a word, the message in a line.
 */
export async function prepare(wanted: readonly Preparable[] = all): Promise<void> {
  try {
    for (const name of wanted) {
      if (name === "qemu" || name === "uml-builtin") {
        await ensure(programs[name]);
        continue;
      }
      await ensure(placeOf(name).part);
      await ensure(initramfsPart);
      await buildDriver(name);
    }
  } catch (error) {
    throw asUnavailable(error);
  }
  if (existsSync(inVm("apt"))) await withLock(async () => dropLists());
}

function asUnavailable(error: unknown): unknown {
  if (error instanceof Error && "code" in error && error.code === "ENOSPC") {
    return new VmUnavailable("no-space", `no space left in ${inVm()}: make room`, {
      cause: error,
    });
  }
  return error;
}

function isPreparable(name: string): name is Preparable {
  return (all as readonly string[]).includes(name);
}

async function main(names: readonly string[]): Promise<number> {
  const wanted = names.filter(isPreparable);
  if (wanted.length !== names.length) {
    console.error(`usage: node dist/vm/prepare.js [${all.join("|")}]…`);
    return 2;
  }
  try {
    await prepare(names.length === 0 ? all : wanted);
    return 0;
  } catch (error) {
    console.error(`Guests can't be prepared: ${error instanceof Error ? error.message : error}`);
    return 1;
  }
}

const program = process.argv[1];
if (
  program !== undefined &&
  existsSync(program) &&
  realpathSync(program) === fileURLToPath(import.meta.url)
) {
  // A signal must end the children and release the lock, which an exit does and a default signal doesn't.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => process.exit(130));
  }
  process.exitCode = await main(process.argv.slice(2));
}
