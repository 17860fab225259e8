import { parentPort, workerData } from "node:worker_threads";
import { type Compression, compressor, pack } from "./compress.js";

const compress = compressor((workerData as { readonly compression: Compression }).compression);

parentPort?.on("message", (pages: Uint8Array) => {
  const packed = pack(pages, compress);
  parentPort?.postMessage(packed, [packed.bytes.buffer, packed.sizes.buffer] as ArrayBuffer[]);
});
