// The entry point of the process that holds a VMM at its exit. It waits in ptrace's own way, in which nothing else can be done.
import { ExitTracer, endWithParent } from "../../os/index.js";
import { errorLine } from "../errors.js";

/** What it tells who started it. */
export type HoldMessage =
  | { readonly kind: "holds" }
  | { readonly kind: "exits" }
  | { readonly kind: "failed"; readonly reason: string };

/** The VMM isn't held for longer, whatever happens to who reads its memory. */
const MAX_HOLD_MS = 10_000;

const tell = (message: HoldMessage): Promise<void> =>
  new Promise((resolve) => {
    process.send?.(message, () => {
      resolve();
    });
  });

endWithParent();
try {
  const tracer = new ExitTracer(Number(process.argv[2]));
  await tell({ kind: "holds" });
  const isHeld = tracer.wait();
  await tell({ kind: "exits" });
  if (isHeld) {
    const letGo = () => {
      tracer.letGo();
      process.exit();
    };
    process.on("disconnect", letGo);
    setTimeout(letGo, MAX_HOLD_MS);
  }
} catch (error) {
  await tell({ kind: "failed", reason: errorLine(error) });
}
