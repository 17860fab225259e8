import { closeSync, fstatSync } from "node:fs";
import { check } from "./check.js";
import { keepOnExec, openPlace } from "./descriptor.js";
import { errno, errnoOf, SystemError } from "./errno.js";
import { lastErrno, libc } from "./libc.js";

/** landlock(7): the rights that each version of its ABI knows of, as bits of <linux/landlock.h>. */
const FS_BITS_BY_ABI = [0, 13, 14, 15, 15, 16];
const EXECUTE = 1n << 0n;
const WRITE_FILE = 1n << 1n;
const READ_FILE = 1n << 2n;
const READ_DIR = 1n << 3n;
const REMOVE_FILE = 1n << 5n;
const MAKE_DIR = 1n << 7n;
const MAKE_REG = 1n << 8n;
const TRUNCATE = 1n << 14n;
/** What a rule for a file, not a directory, may allow. */
const OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE;

const ABI_WITH_NET = 4;
const BIND_AND_CONNECT_TCP = 3n;
const ABI_WITH_SCOPES = 6;
const SCOPE_ABSTRACT_UNIX_SOCKET = 1n << 0n;
const SCOPE_SIGNAL = 1n << 1n;

const CREATE_RULESET_VERSION = 1;
const RULE_PATH_BENEATH = 1;
const PR_SET_NO_NEW_PRIVS = 38;

/** What may be done with a file, or with all that is in a directory. */
export const Allow = {
  read: READ_FILE | READ_DIR,
  readAndExecute: READ_FILE | READ_DIR | EXECUTE,
  /** Files are made, written, renamed and removed; nothing but regular files is made. */
  files: READ_FILE | READ_DIR | WRITE_FILE | REMOVE_FILE | MAKE_REG | TRUNCATE,
  makeDirectories: READ_DIR | MAKE_DIR,
} as const;

/** One path and what may be done there. A path that doesn't exist is passed over. */
export interface LandlockRule {
  readonly path: string;
  readonly allow: bigint;
  /** A link there isn't followed: the rule is for the link, where nothing can be done. */
  readonly link?: "itself";
}

export interface LandlockOptions {
  /** Abstract Unix sockets of others can be connected to. */
  readonly abstractSockets?: boolean;
}

/** The version of Landlock's ABI; 0 where the kernel hasn't got it or was started without it. */
export function landlockAbi(): number {
  const abi = libc.landlockCreateRuleset(null, 0, CREATE_RULESET_VERSION);
  if (abi >= 0) return abi;
  if (lastErrno() === errno.ENOSYS || lastErrno() === errno.EOPNOTSUPP) return 0;
  throw new SystemError("landlock_create_ruleset", lastErrno());
}

/** From now on no program that this process executes gains rights by it (set-user-ID and the like). */
export function setNoNewPrivileges(): void {
  check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl");
}

/**
 * Restricts the calling thread, and all that it will start, to `rules`: as to files, TCP, signals and
 * abstract sockets, as far as the kernel's ABI has them. Other threads of the process stay as they are.
 * Wants setNoNewPrivileges() before. Throws the system call's error.
 */
export function restrictThread(
  rules: readonly LandlockRule[],
  options: LandlockOptions = {},
): void {
  const abi = landlockAbi();
  const handled = (1n << BigInt(FS_BITS_BY_ABI[abi] ?? FS_BITS_BY_ABI.at(-1) ?? 0)) - 1n;
  const scopes =
    SCOPE_SIGNAL | (options.abstractSockets === true ? 0n : SCOPE_ABSTRACT_UNIX_SOCKET);
  // struct landlock_ruleset_attr: handled_access_fs, handled_access_net, scoped; as long as is known.
  const attributes = new BigUint64Array([handled, BIND_AND_CONNECT_TCP, scopes]);
  const bytes = abi >= ABI_WITH_SCOPES ? 24 : abi >= ABI_WITH_NET ? 16 : 8;
  const ruleset = check(
    libc.landlockCreateRuleset(new Uint8Array(attributes.buffer), bytes, 0),
    "landlock_create_ruleset",
  );
  try {
    for (const rule of rules) addRule(ruleset, rule, rule.allow & handled);
    check(libc.landlockRestrictSelf(ruleset, 0), "landlock_restrict_self");
  } finally {
    libc.close(ruleset);
  }
}

function addRule(ruleset: number, { path, link }: LandlockRule, allow: bigint): void {
  let fd: number;
  try {
    fd = openPlace(path, link);
  } catch (error) {
    const number = errnoOf(error);
    if (number === errno.ENOENT || number === errno.ENOTDIR) return;
    throw error;
  }
  try {
    const isDirectory = fstatSync(fd).isDirectory();
    // struct landlock_path_beneath_attr, packed: allowed_access u64, parent_fd i32.
    const attributes = Buffer.alloc(12);
    attributes.writeBigUInt64LE(isDirectory ? allow : allow & OF_FILES, 0);
    attributes.writeInt32LE(fd, 8);
    const result = libc.landlockAddRule(ruleset, RULE_PATH_BENEATH, attributes, 0);
    check(result, "landlock_add_rule", path);
  } finally {
    closeSync(fd);
  }
}

/**
 * execv(2): this process goes on as another program, in the restrictions of the calling thread, with
 * descriptors 0 to 2 and these. Returns only by throwing the system call's error.
 */
export function replaceProcess(
  path: string,
  args: readonly string[],
  descriptors: readonly number[],
): never {
  for (const fd of [0, 1, 2, ...descriptors]) keepOnExec(fd);
  libc.execv(path, [path, ...args, null]);
  throw new SystemError("execv", lastErrno(), path);
}
