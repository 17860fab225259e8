/**
 * Offsets of the kdump-compressed format, version 6, little-endian, as makedumpfile's IMPLEMENTATION describes it: a
 * header, a sub-header, two bitmaps with a bit a page (what is memory; what is in the file), then a descriptor for
 * each page of the second one, and the pages.
 */
export const KDUMP = {
  SIGNATURE: "KDUMP   ",
  VERSION: 6,
  /** struct disk_dump_header. */
  HEADER: {
    version: 8,
    /** struct new_utsname. */
    uts: 12,
    seconds: 408,
    status: 424,
    blockBytes: 428,
    subHeaderBlocks: 432,
    bitmapBlocks: 436,
    maxPages: 440,
    cpus: 460,
    bytes: 464,
  },
  /** struct kdump_sub_header, one block behind. */
  SUB_HEADER: {
    physBase: 0,
    level: 8,
    split: 12,
    vmcoreInfoAt: 32,
    vmcoreInfoBytes: 40,
    noteAt: 48,
    noteBytes: 56,
    endPage: 88,
    maxPages: 96,
    bytes: 104,
  },
  /** struct page_desc. */
  DESCRIPTOR: { offset: 0, size: 8, flags: 12, bytes: 24 },
  /** How a page is compressed: flags of its descriptor, none for a plain one. */
  ZLIB: 1,
  LZO: 2,
  SNAPPY: 4,
  ZSTD: 0x20,
} as const;
