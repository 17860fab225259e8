import { type Command, Option } from "commander";
import { type SymbolFiles, Symbolizer } from "../analysis/symbols/index.js";
import { warn } from "../service/errors.js";
import { notEmpty } from "./option-values.js";

/** The options that say where the kernel's symbols are. */
export function addSymbolOptions(command: Command): Command {
  const one = (flags: string, description: string) =>
    new Option(flags, description).argParser(notEmpty).conflicts(["chrome", "json", "raw"]);
  return command
    .addOption(one("--vmlinux <file>", "add file and line to the kernel's functions"))
    .addOption(
      one("--debug-dir <dir>", "the same with DIR/vmlinux, and for modules with DIR/**/NAME.ko"),
    )
    .addOption(one("--system-map <file>", "add symbols to addresses, without a vmlinux"));
}

/** Undefined where no option asks for symbols. */
export function openSymbols(files: SymbolFiles): Symbolizer | undefined {
  const { vmlinux, debugDir, systemMap } = files;
  if (vmlinux === undefined && debugDir === undefined && systemMap === undefined) return undefined;
  return new Symbolizer(files, warn);
}
