import { lstatSync, realpathSync } from "node:fs";
import { join, resolve } from "node:path";
import { UserError } from "../service/errors.js";

const isLink = (path: string): boolean =>
  lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;

/**
 * The directory that the user named for one guest's records. It may be a link: what that leads to now is
 * served, and nothing that is put in its place.
 */
export function namedDirectory(path: string): string {
  try {
    return isLink(resolve(path)) ? realpathSync(path) : path;
  } catch {
    // Whoever opens it says what is wrong with it.
    return path;
  }
}

/** A guest's directory below that which the user named: nobody is to have put a link in its place. */
export function guestDirectory(parent: string, name: string): string {
  const directory = join(parent, name);
  if (isLink(directory)) {
    throw new UserError(`${directory} is a symbolic link: make it a directory`);
  }
  return directory;
}
