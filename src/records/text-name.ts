import { basename } from "node:path";
import { parsePstorefsName } from "./pstorefs-name.js";
import type { RecordEntry } from "./record.js";
import type { RecordName } from "./record-name.js";

/** What systemd-pstore and kdump call a dump's whole text. Often it is all that people keep. */
const PATTERN = /^(?:vmcore-)?dmesg\.txt(\.gz)?$/;

/** A dump's text as a record of its own; undefined for other names. */
export function parseTextName(name: string): RecordName | undefined {
  const match = PATTERN.exec(name);
  if (match === null) return undefined;
  const text = { type: "dmesg", id: 0n, compressed: false } as const;
  return match[1] === undefined ? text : { ...text, gzip: true };
}

/** Whether a record is a text, of that name or one that the user named: it has no id, and needs no header. */
export const isText = ({ type, id, name }: Pick<RecordEntry, "type" | "id" | "name">): boolean =>
  type === "dmesg" && id === 0n && parsePstorefsName(basename(name)) === undefined;
