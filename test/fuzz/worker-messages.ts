import { MAX_INPUT_BYTES } from "./mutate.js";

/** What a worker is started with, as JSON in its only argument. */
export interface WorkerStart {
  readonly target: string;
  readonly inputs: number;
  readonly seed: number;
  /** Files of the inputs to begin with. */
  readonly corpus: readonly string[];
  /**
   * A file of CURRENT_BYTES into which each input is put before it is used, so that it is there whatever
   * becomes of the process: its length in 4 bytes, then its own.
   */
  readonly current: string;
  /** The corpus's folder, where inputs are to be added to it. */
  readonly keepIn?: string;
}

export const CURRENT_BYTES = 4 + MAX_INPUT_BYTES;

/** What a worker tells while it works, and at its end. */
export type WorkerMessage =
  | { readonly kind: "progress"; readonly inputs: number }
  | { readonly kind: "done"; readonly outcomes: readonly string[]; readonly slowestMs: number }
  | { readonly kind: "failed"; readonly inputs: number; readonly error: string };
