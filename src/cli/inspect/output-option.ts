import { Option } from "commander";

/** Where a view writes a file; the views that make one share it. */
export const outputOption = new Option(
  "-o, --output <file>",
  "write this file, which must not be there yet (trace: a trace.dat for trace-cmd and KernelShark)",
);
