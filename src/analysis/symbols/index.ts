export { kernelOffset } from "./kernel-offset.js";
export { type SymbolFiles, Symbolizer } from "./symbolizer.js";
