import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { type Compression, compressor, type Packed, pack } from "./compress.js";

/** Compresses pages; several calls may be under way. */
export interface PagePacker {
  /** How many calls it takes to keep it busy. */
  readonly width: number;
  /** The pages' memory is the packer's from then on. */
  pack(pages: Uint8Array): Promise<Packed>;
  close(): Promise<void>;
}

/** More threads than that wait for the one that writes. */
const MAX_THREADS = 8;

/** A packer in this thread. */
export function packHere(compression: Compression): PagePacker {
  const compress = compressor(compression);
  return {
    width: 1,
    pack: (pages) => Promise.resolve(pack(pages, compress)),
    close: () => Promise.resolve(),
  };
}

interface Thread {
  readonly worker: Worker;
  /** Why it ended, before anybody ended it. */
  failure?: Error;
  /** Those that wait for an answer; a thread answers in order. */
  readonly waiting: {
    readonly resolve: (packed: Packed) => void;
    readonly reject: (error: unknown) => void;
  }[];
}

/** A packer with a thread a CPU. */
export function packInThreads(compression: Compression): PagePacker {
  // Said here where Node can't: a thread would only end.
  compressor(compression);
  const threads = Array.from({ length: Math.min(availableParallelism(), MAX_THREADS) }, () =>
    startThread(compression),
  );
  return {
    // The next piece waits at each thread while it works at one.
    width: 2 * threads.length,
    pack: (pages) =>
      new Promise((resolve, reject) => {
        const [least] = [...threads].sort((a, b) => a.waiting.length - b.waiting.length);
        if (least?.failure !== undefined) {
          reject(least.failure);
          return;
        }
        least?.waiting.push({ resolve, reject });
        least?.worker.postMessage(pages, [pages.buffer as ArrayBuffer]);
      }),
    close: async () => {
      await Promise.all(threads.map(({ worker }) => worker.terminate()));
    },
  };
}

function startThread(compression: Compression): Thread {
  const worker = new Worker(new URL("./compress-thread.js", import.meta.url), {
    workerData: { compression },
  });
  const thread: Thread = { worker, waiting: [] };
  const { waiting } = thread;
  worker.on("message", (packed: Packed) => {
    waiting.shift()?.resolve(packed);
  });
  worker.on("error", (error: Error) => {
    thread.failure = error;
    for (const { reject } of waiting.splice(0)) reject(error);
  });
  return thread;
}
