import { zlib } from "../../os/builtins.js";
import { MemoryError } from "../errors.js";
import { PAGE_BYTES } from "./pages.js";

/** How a kdump-compressed core has its pages. */
export type Compression = "zlib" | "zstd";

/** Compressed pages, one behind the other. */
export interface Packed {
  readonly bytes: Uint8Array;
  /** Of each page; one of PAGE_BYTES is as it was. */
  readonly sizes: Uint32Array;
}

type Compress = (page: Uint8Array) => Uint8Array;

/** Node has zstd from 22.15 on; @types/node of 20 doesn't know it. */
type Zstd = { readonly zstdCompressSync?: (page: Uint8Array, options: object) => Uint8Array };

/** The fastest level, as makedumpfile and QEMU compress. Throws MemoryError where Node can't. */
export function compressor(compression: Compression): Compress {
  const library = zlib();
  // A page fits into a window of 4 KiB: less is set up for each.
  if (compression === "zlib") {
    return (page) => library.deflateSync(page, { level: 1, windowBits: 12, chunkSize: PAGE_BYTES });
  }
  const { zstdCompressSync } = library as Zstd;
  if (zstdCompressSync === undefined) {
    throw new MemoryError(
      "UNSUPPORTED",
      `Node ${process.version} has no zstd: use Node 22.15 or later, or zlib`,
    );
  }
  const params = { 100: 1 };
  return (page) => zstdCompressSync(page, { params });
}

/** Compresses whole pages, each by itself. */
export function pack(pages: Uint8Array, compress: Compress): Packed {
  const bytes = new Uint8Array(pages.length);
  const sizes = new Uint32Array(pages.length / PAGE_BYTES);
  let end = 0;
  for (let i = 0; i < sizes.length; i++) {
    const page = pages.subarray(i * PAGE_BYTES, (i + 1) * PAGE_BYTES);
    const packed = compress(page);
    const kept = packed.length < PAGE_BYTES ? packed : page;
    bytes.set(kept, end);
    sizes[i] = kept.length;
    end += kept.length;
  }
  return { bytes: bytes.subarray(0, end), sizes };
}
