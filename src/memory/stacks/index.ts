export { stackLines } from "./stack-text.js";
export { type Frame, type StackFrom, Stacks, type TaskStack } from "./stacks.js";
export type { ChainEnd, SavedRegisters } from "./unwinder.js";
