import { readdirSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { errno, errnoOf } from "../os/errno.js";
import { compareRecords } from "../records/index.js";
import type { OnSkipped, RecordEntry } from "../records/record.js";
import { compareCopied, type Holding, holdingOf } from "./directory.js";

/** fsck's, which only root may read: where a file system of its own is for records, it is no guest's. */
const LOST_AND_FOUND = "lost+found";

/** systemd-pstore's folder for what was stored in a second, or with ERST has an id; below it EFI's have one for each dump. */
const TIME_FOLDER = /^[0-9]{10,20}$/;
/** Those, and what export makes for each crash of a guest. */
const CRASH_FOLDER = /^[0-9]{1,20}$/;

const isTimeFolder = (path: string): boolean => TIME_FOLDER.test(basename(resolve(path)));

/** The directory that a guest or machine is called by: not a folder that systemd-pstore made in it for a crash. */
export function ownerOf(directory: string): string {
  const path = resolve(directory);
  if (isTimeFolder(path)) return dirname(path);
  const isCount = CRASH_FOLDER.test(basename(path)) && isTimeFolder(dirname(path));
  return isCount ? dirname(dirname(path)) : path;
}

/** The names of a directory's subdirectories. */
const subdirectories = (path: string): string[] =>
  readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== LOST_AND_FOUND)
    .map((entry) => entry.name)
    .sort();

/** Whether a subdirectory is, by its name, one that systemd-pstore made for a crash. */
const isOfCrash = (parent: string, name: string): boolean =>
  (isTimeFolder(parent) ? CRASH_FOLDER : TIME_FOLDER).test(name);

/** Directories in which a record may come, whose times tell it; as many as that can be seen at a glance. */
export const watchedFolders = (path: string): string[] =>
  subdirectories(path).flatMap((name) => [
    name,
    ...(isOfCrash(path, name) ? below(join(path, name)).map((one) => join(name, one)) : []),
  ]);

/** The names of the folders at a path that may be guests', with that of the path itself, which is empty. */
export const guestFolders = (path: string): string[] => [
  "",
  ...subdirectories(path).filter((name) => !isOfCrash(path, name)),
];

function below(path: string): string[] {
  try {
    return subdirectories(path);
  } catch {
    // It is gone at this moment, or may not be read.
    return [];
  }
}

/** Of a directory of records, or of guests' directories; with the folders of crashes that lie in these. */
export function recordsInDirectory(path: string, onSkipped: OnSkipped): RecordEntry[] {
  const top = holdingOf(path, "", onSkipped);
  const crashes: RecordEntry[] = [];
  const guests: RecordEntry[][] = [];
  for (const name of subdirectories(path)) {
    const directory = join(path, name);
    try {
      const copies = isOfCrash(path, name) ? copiesIn(directory, "", onSkipped) : undefined;
      if (copies !== undefined) crashes.push(...copies);
      else guests.push(recordsOfGuest(directory, name, onSkipped));
    } catch (error) {
      // Node puts U+FFFD in place of what is no UTF-8, and so asks for another name.
      const isMisread = name.includes("\ufffd") && errnoOf(error) === errno.ENOENT;
      onSkipped(isMisread ? new Error(`${directory}: the directory's name isn't UTF-8`) : error);
    }
  }
  return [...together(path, top, crashes), ...guests.flat()];
}

function recordsOfGuest(path: string, guest: string, onSkipped: OnSkipped): RecordEntry[] {
  const holding = holdingOf(path, guest, onSkipped);
  const folders = holding.folders.filter((name) => CRASH_FOLDER.test(name)).sort();
  const crashes = folders.flatMap((name) => {
    try {
      return copiesIn(join(path, name), guest, onSkipped) ?? [];
    } catch (error) {
      onSkipped(error);
      return [];
    }
  });
  return together(path, holding, crashes);
}

/** What lies in a folder of a crash, and below it; undefined where it is a guest's that is called by a number. */
function copiesIn(path: string, guest: string, onSkipped: OnSkipped): RecordEntry[] | undefined {
  const { own, copied, folders } = holdingOf(path, guest, onSkipped);
  if (own.length > 0) return undefined;
  const counts = isTimeFolder(path) ? folders.filter((name) => CRASH_FOLDER.test(name)).sort() : [];
  return [
    ...copied,
    ...counts.flatMap((name) => copiesIn(join(path, name), guest, onSkipped) ?? []),
  ];
}

/** A guest's records, and those in the folders of its crashes. */
function together(
  path: string,
  { own, copied }: Holding,
  crashes: readonly RecordEntry[],
): RecordEntry[] {
  const counts = new Map<string, number>();
  for (const { name } of [...copied, ...crashes]) counts.set(name, (counts.get(name) ?? 0) + 1);
  const named = crashes.map((record) =>
    // A text always: another folder may come, and names are kept.
    record.id === 0n || (counts.get(record.name) ?? 0) > 1
      ? { ...record, name: relative(path, record.path) }
      : record,
  );
  return [...own.sort(compareRecords), ...[...copied, ...named].sort(compareCopied)];
}
