import { MemoryError } from "../errors.js";
import { guestText } from "../guest-text.js";
import type { Kernel, Struct } from "../kernel/index.js";
import type { Task } from "../tasks/index.js";
import { rbTree } from "./rb-tree.js";

/** A mount, as /proc/mounts has it, without what only the file system itself tells. */
export interface Mount {
  readonly device: string;
  /** From the root of the process. */
  readonly place: string;
  readonly type: string;
  /** `ro` or `rw`, then what holds for any file system: `sync`, `nosuid`, … */
  readonly flags: readonly string[];
}

const MAX_MOUNTS = 100_000;

/** A path has 4096 bytes (PATH_MAX), so not more names. */
const MAX_NAMES = 2048;

/** A name's bytes (NAME_MAX). */
const MAX_NAME_BYTES = 255;
const MAX_DEVICE_BYTES = 4096;

/** Bits of super_block.s_flags: the values of mount(2). */
const SB_RDONLY = 1n;
const SUPER_FLAGS: readonly [bit: bigint, name: string][] = [
  [1n << 4n, "sync"],
  [1n << 7n, "dirsync"],
  [1n << 6n, "mand"],
  [1n << 25n, "lazytime"],
];

/** Bits of vfsmount.mnt_flags, which older kernels' types don't tell; they haven't changed. */
const MNT_READONLY = 0x40;
const MOUNT_FLAGS: readonly [bit: number, name: string][] = [
  [0x01, "nosuid"],
  [0x02, "nodev"],
  [0x04, "noexec"],
  [0x08, "noatime"],
  [0x10, "nodiratime"],
  [0x20, "relatime"],
  [0x80, "nosymfollow"],
];

/** What the first process sees (pid 1), in the order of /proc/mounts. Throws MemoryError where there is none. */
export function readMounts(kernel: Kernel, tasks: readonly Task[]): Mount[] {
  const task = tasks.find(({ pid }) => pid === 1)?.struct;
  const namespace = task?.follow("nsproxy")?.follow("mnt_ns");
  const root = task?.follow("fs")?.struct("root");
  if (namespace === undefined || root === undefined) {
    throw new MemoryError("NOT_DESCRIBED", "there is no process yet whose mounts could be shown");
  }
  const top = { mount: root.pointer("mnt"), dentry: root.pointer("dentry") };
  const found: Mount[] = [];
  for (const mount of mountsOf(kernel, namespace)) {
    if (found.length === MAX_MOUNTS) {
      kernel.notes.add(`mounts: those after ${MAX_MOUNTS} are left out`);
      break;
    }
    const read = kernel.attempt("a mount", () => readMount(kernel, mount, top));
    if (read !== undefined) found.push(read);
  }
  return found;
}

/** Since 6.8 they are in a tree. */
function mountsOf(kernel: Kernel, namespace: Struct): Iterable<Struct> {
  return namespace.has("mounts.rb_node")
    ? rbTree(kernel, namespace.at("mounts"), "mount", "mnt_node")
    : kernel.list(namespace.at("list"), "mount", "mnt_list");
}

interface Top {
  readonly mount: bigint;
  readonly dentry: bigint;
}

function readMount(kernel: Kernel, mount: Struct, top: Top): Mount | undefined {
  const superBlock = mount.follow("mnt.mnt_sb");
  // A place in the list where someone reads /proc/mounts has none.
  if (superBlock === undefined) return undefined;
  const place = placeOf(kernel, mount, top);
  if (place === undefined) return undefined;
  const device = mount.pointer("mnt_devname");
  return {
    device: device === 0n ? "none" : guestText(kernel.text(device, MAX_DEVICE_BYTES)),
    place,
    type: typeOf(kernel, superBlock),
    flags: flagsOf(mount.number("mnt.mnt_flags"), superBlock.u64("s_flags")),
  };
}

function typeOf(kernel: Kernel, superBlock: Struct): string {
  const read = (address: bigint) => guestText(kernel.text(address, MAX_NAME_BYTES));
  const type = superBlock.follow("s_type");
  const name = type === undefined ? "?" : read(type.pointer("name"));
  const subtype = superBlock.pointer("s_subtype");
  return subtype === 0n ? name : `${name}.${read(subtype)}`;
}

function flagsOf(mount: number, superBlock: bigint): string[] {
  const isReadOnly = (mount & MNT_READONLY) !== 0 || (superBlock & SB_RDONLY) !== 0n;
  return [
    isReadOnly ? "ro" : "rw",
    ...SUPER_FLAGS.filter(([bit]) => (superBlock & bit) !== 0n).map(([, name]) => name),
    ...MOUNT_FLAGS.filter(([bit]) => (mount & bit) !== 0).map(([, name]) => name),
  ];
}

/** The names up to the root; undefined where they don't lead there: the process can't see it. */
function placeOf(kernel: Kernel, start: Struct, top: Top): string | undefined {
  let mount = start;
  let dentry = mount.pointer("mnt.mnt_root");
  const names: string[] = [];
  for (let step = 0; step < 2 * MAX_NAMES; step++) {
    if (mount.at("mnt") === top.mount && dentry === top.dentry) {
      return `/${guestText(names.reverse().join("/"))}`;
    }
    if (dentry === mount.pointer("mnt.mnt_root")) {
      const parent = mount.follow("mnt_parent");
      if (parent === undefined || parent.address === mount.address) return undefined;
      dentry = mount.pointer("mnt_mountpoint");
      mount = parent;
      continue;
    }
    const entry = kernel.struct("dentry", dentry);
    const up = entry.pointer("d_parent");
    if (up === dentry) return undefined;
    const length = Math.min(entry.number("d_name.len"), MAX_NAME_BYTES);
    names.push(kernel.text(entry.pointer("d_name.name"), length));
    dentry = up;
  }
  throw new MemoryError("DAMAGED", "the place of a mount has more names than a path can have");
}
