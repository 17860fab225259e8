import { guestText } from "../guest-text.js";
import type { Kernel, Module } from "../kernel/index.js";

/** A module, as /proc/modules has it. */
export interface LoadedModule {
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** How often it is in use. */
  readonly uses: number;
  /** The modules that use it. */
  readonly usedBy: readonly string[];
  /** It can't be unloaded. */
  readonly isPermanent: boolean;
  readonly state: "live" | "loading" | "unloading";
}

/** While a module is loaded, its own reference is counted, too (MODULE_REF_BASE). */
const OWN_REFERENCE = 1;

export function loadedModules(kernel: Kernel): LoadedModule[] {
  const states = {
    coming: kernel.types?.constant("MODULE_STATE_COMING"),
    going: kernel.types?.constant("MODULE_STATE_GOING"),
  };
  return kernel.modules.flatMap((module) => {
    const read = kernel.attempt(`module ${module.name}`, () =>
      loadedModule(kernel, module, states),
    );
    return read === undefined ? [] : [read];
  });
}

function loadedModule(
  kernel: Kernel,
  { name, parts, struct }: Module,
  states: { readonly coming: bigint | undefined; readonly going: bigint | undefined },
): LoadedModule {
  const state = struct.u64("state");
  const isUnloadable = struct.has("refcnt");
  return {
    name: guestText(name),
    size: parts.reduce((sum, { size }) => sum + size, 0),
    uses: isUnloadable ? struct.number("refcnt.counter") - OWN_REFERENCE : 0,
    usedBy: isUnloadable ? users(kernel, struct.at("source_list")) : [],
    isPermanent: isUnloadable && struct.pointer("init") !== 0n && struct.pointer("exit") === 0n,
    state: state === states.coming ? "loading" : state === states.going ? "unloading" : "live",
  };
}

function users(kernel: Kernel, head: bigint): string[] {
  const names: string[] = [];
  for (const use of kernel.list(head, "module_use", "source_list")) {
    const name = kernel.attempt("a module's user", () => use.follow("source")?.text("name"));
    if (name !== undefined) names.push(guestText(name));
  }
  return names;
}
