import { decoded } from "../records/printable.js";

/** What was read from a guest, as bytes or a character a byte, decoded: UTF-8; bytes that are none become `\xNN`. */
export const guestText = (read: Buffer | string): string =>
  decoded(typeof read === "string" ? Buffer.from(read, "latin1") : read);

/** An address as messages and JSON have it. */
export const hex = (address: bigint): string => `0x${address.toString(16)}`;
