import { createHash } from "node:crypto";

export function signatureOf(kind: string, title: string, frames: readonly string[]): string {
  const text = [kind, title.replace(/0x[0-9a-f]+|\d+/g, "N"), ...frames.slice(0, 1)].join("\n");
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}
