import { hex } from "../../memory/guest-text.js";
import { type Written, writeVmlinux } from "../../memory/vmlinux/write-vmlinux.js";
import { USAGE, UserError } from "../../service/errors.js";
import { outputOption } from "./output-option.js";
import type { View } from "./view.js";
import { writeOutput } from "./write-output.js";

export const vmlinux: View = {
  name: "vmlinux",
  summary:
    "write the kernel's symbols, types and unwind tables, for a debugger with a core: -o FILE",
  options: [outputOption],

  async show({ kernel, options }) {
    const { output } = options as { readonly output?: string };
    if (output === undefined) throw new UserError("vmlinux writes a file: -o FILE", USAGE);
    const written = await writeOutput(output, (stop) => writeVmlinux(kernel, output, { stop }));
    return { lines: [lineOf(output, written)], json: () => jsonOf(output, written) };
  },
};

function lineOf(output: string, written: Written): string {
  const { bytes, release, symbols, types, modules, unwindRows, kernelOffset } = written;
  const also = modules.length === 0 ? "" : `, those of ${modules.join(", ")}`;
  return (
    `${output}: ${bytes} bytes, Linux ${release}: ${symbols} symbols, ${types} types${also}, ` +
    `${unwindRows} rows of unwind tables; the guest has it at its addresses + ${hex(kernelOffset)}`
  );
}

function jsonOf(output: string, { kernelOffset, buildId, ...written }: Written): unknown {
  return { output, ...written, buildId: buildId ?? null, kernelOffset: hex(kernelOffset) };
}
