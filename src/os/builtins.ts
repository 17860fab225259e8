import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

// Node takes milliseconds to load these, and most starts of the program need none of them.

/** Node's zlib, loaded at the first call. */
export const zlib = (): typeof import("node:zlib") => require("node:zlib");

/** Node's crypto, likewise. */
export const crypto = (): typeof import("node:crypto") => require("node:crypto");
