/** Text as it was read from a guest, a character a byte, decoded: UTF-8 where it is, else byte by byte. */
export function guestText(latin1: string): string {
  const bytes = Buffer.from(latin1, "latin1");
  const text = bytes.toString("utf8");
  return Buffer.from(text, "utf8").equals(bytes) ? text : latin1;
}

/** An address as messages and JSON have it. */
export const hex = (address: bigint): string => `0x${address.toString(16)}`;
