import type { RecordName, RecordTypeName } from "./record-name.js";

const PATTERN = /^(dmesg|console|ftrace|pmsg)-[a-z][a-z0-9_]{0,31}-([0-9]{1,20})(\.enc\.z|\.gz)?$/;

const FAMILY = /^(?:.*\/)?([a-z]+(?:-[a-z][a-z0-9_]*(?=-[0-9]))?)/s;

/** A record's name up to its id, without folders: its type, and the back-end where pstorefs called it. */
export const familyOf = (name: string): string => FAMILY.exec(name)?.[1] ?? "";

/** efi-pstore's ids: seconds since 1970, the part (two digits), and the dump's number in its boot (three). */
const EFI_NAME = /^[a-z]+-efi(?:_pstore)?-([0-9]{10})([0-9]{2})([0-9]{3})(?:\.|$)/;

/** What the name of efi-pstore's record says besides; undefined for other names. */
export function parseEfiName(name: string): { readonly time: Date; count: number } | undefined {
  const [, seconds, , count] = EFI_NAME.exec(name) ?? [];
  return seconds === undefined
    ? undefined
    : { time: new Date(Number(seconds) * 1000), count: Number(count) };
}

/**
 * What pstorefs calls a record in the guest, with the back-end's name in it (Linux, fs/pstore/inode.c), and so
 * systemd-pstore and `export`: `dmesg-efi_pstore-167951823001001`, `dmesg-ramoops-0.enc.z`. Undefined for other
 * names.
 */
export function parsePstorefsName(name: string): RecordName | undefined {
  const match = PATTERN.exec(name);
  if (match === null) return undefined;
  const [, type, id = "", suffix] = match;
  const record = {
    type: type as RecordTypeName,
    id: BigInt(id),
    compressed: suffix === ".enc.z",
  };
  return suffix === ".gz" ? { ...record, gzip: true } : record;
}
