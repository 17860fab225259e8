import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { apt } from "./apt.js";
import {
  type CpioEntry,
  characterDeviceMode,
  cpioArchive,
  directoryMode,
  fileMode,
  linkMode,
  programMode,
} from "./cpio.js";
import type { Part } from "./part.js";
import { inVm } from "./paths.js";
import { runChecked } from "./process.js";
import { unpackPackages } from "./unpack.js";

/** Printed with the status of /test.sh when it has ended; `GuestResult.scriptStatus` is read from it. */
export const scriptEndMark = "virtio-pstore-guest: /test.sh ended with";

/**
 * The guest's first program. Module parameters come from the kernel's command line (`virtio_pstore.NAME=VALUE`) and
 * from /module.parameters; /pstore.mount holds mount options, because 6.1 ignores `pstore.kmsg_bytes=`.
 */
const init = `#!/bin/sh
export PATH=/bin HOME=/ TERM=linux
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
test -e /proc/sys/kernel/printk && test -e /quiet && echo 1 > /proc/sys/kernel/printk
while read -r module; do insmod /modules/$module; done < /modules.first
mount -t pstore -o "$(cat /pstore.mount)" pstore /sys/fs/pstore
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
parameters=$(cat /module.parameters)
for word in $(cat /proc/cmdline); do
  case $word in virtio_pstore.*) parameters="$parameters \${word#virtio_pstore.}" ;; esac
done
if test -e /modules/virtio_pstore.ko; then
  insmod /modules/virtio_pstore.ko $parameters ||
    { echo "virtio-pstore-guest: insmod virtio_pstore.ko failed"; dmesg | tail -n 5; }
fi
/bin/sh /test.sh
echo "${scriptEndMark} $?"
poweroff -f
`;

const busyboxPart: Part = {
  label: "busybox",
  directory: inVm("busybox"),
  recipe: "1",
  needs: [],
  spaceBytes: 20e6,
  async make(temporary) {
    const plan = await apt("bookworm").plan(["busybox-static"]);
    const wanted = plan.filter(({ name }) => name === "busybox-static");
    await unpackPackages(apt("bookworm"), wanted, temporary, { label: "busybox" });
  },
};

/** The guest's programs: what all boots share. */
export const initramfsPart: Part = {
  label: "the guests' initramfs",
  directory: inVm("initramfs"),
  recipe: `2 ${init}`,
  needs: [busyboxPart],
  spaceBytes: 20e6,
  async make(temporary) {
    const busybox = join(busyboxPart.directory, "bin/busybox");
    const applets = (await runChecked(busybox, ["--list"])).trim().split("\n");
    const entries: CpioEntry[] = [
      ...["bin", "dev", "proc", "sys", "tmp", "root", "modules", "etc", "sbin"].map((path) => ({
        path,
        data: "",
        mode: directoryMode,
      })),
      { path: "init", data: init, mode: programMode },
      { path: "bin/busybox", data: readFileSync(busybox), mode: programMode },
      ...applets
        .filter((applet) => applet !== "busybox")
        .map((applet) => ({ path: `bin/${applet}`, data: "busybox", mode: linkMode })),
      // The kernel opens it for /init before devtmpfs is there.
      { path: "dev/console", data: "", mode: characterDeviceMode, device: [5, 1] },
    ];
    writeFileSync(join(temporary, "base.cpio"), cpioArchive(entries));
  },
};

export interface FirstModule {
  /** Of the .ko file. */
  readonly path: string;
  /** As insmod takes them. */
  readonly parameters?: string;
}

export interface GuestFiles {
  /** Run by sh as /test.sh; when it ends, the guest powers off. */
  readonly script: string;
  /** Loaded in this order before pstore is mounted. */
  readonly firstModules?: readonly FirstModule[];
  /** Path of the virtio_pstore.ko to load; without it none is. */
  readonly driver?: string;
  readonly driverParameters?: Readonly<Record<string, string | number>>;
  /** Mount options of pstorefs, such as "kmsg_bytes=262144". */
  readonly pstoreMount?: string;
  /** Keeps printk off the console (it is on by default at the level of the command line). */
  readonly quiet?: boolean;
  /** Further files by path; a value that is a Uint8Array is taken as it is. All are executable. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
}

function overlay(guest: GuestFiles): Buffer {
  const parameters = Object.entries(guest.driverParameters ?? {});
  const first = guest.firstModules ?? [];
  const modules = [
    ...first.map(({ path }) => path),
    ...(guest.driver === undefined ? [] : [guest.driver]),
  ];
  const texts: Record<string, string> = {
    "modules.first": first
      .map(({ path, parameters = "" }) => `${basename(path)} ${parameters}\n`)
      .join(""),
    "module.parameters": `${parameters.map(([name, value]) => `${name}=${value}`).join(" ")}\n`,
    "pstore.mount": `${guest.pstoreMount ?? "rw"}\n`,
    ...(guest.quiet === true ? { quiet: "" } : {}),
  };
  const extra = Object.entries(guest.files ?? {}).map(
    ([path, data]) => [path.replace(/^\/+/, ""), data] as const,
  );
  const directories = new Set<string>();
  for (const [path] of extra) {
    for (let parent = dirname(path); parent !== "."; parent = dirname(parent)) {
      directories.add(parent);
    }
  }
  return cpioArchive([
    ...[...directories].sort().map((path) => ({ path, data: "", mode: directoryMode })),
    ...modules.map((path) => ({
      path: `modules/${basename(path)}`,
      data: readFileSync(path),
      mode: fileMode,
    })),
    ...Object.entries(texts).map(([path, data]) => ({ path, data, mode: fileMode })),
    ...extra.map(([path, data]) => ({ path, data, mode: programMode })),
    { path: "test.sh", data: guest.script, mode: programMode },
  ]);
}

/** Of boots that were made with different scripts; each is about 3 MB. */
const keptBoots = 48;

/** The path of an initramfs with these files. Equal files give the same path, so nobody has to clean up. */
export function initramfs(guest: GuestFiles): string {
  const base = readFileSync(join(initramfsPart.directory, "base.cpio"));
  const archive = Buffer.concat([base, overlay(guest)]);
  const name = createHash("sha256").update(archive).digest("hex").slice(0, 24);
  const directory = inVm("boots");
  const path = join(directory, `${name}.cpio`);
  if (existsSync(path)) {
    utimesSync(path, new Date(), new Date());
    return path;
  }
  mkdirSync(directory, { recursive: true });
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, archive);
  renameSync(temporary, path);
  dropOldBoots(directory);
  return path;
}

function dropOldBoots(directory: string): void {
  const age = (name: string): number => {
    try {
      return statSync(join(directory, name)).mtimeMs;
    } catch {
      return 0;
    }
  };
  const names = readdirSync(directory).map((name) => ({ name, modified: age(name) }));
  names.sort((a, b) => b.modified - a.modified);
  for (const { name } of names.slice(keptBoots)) rmSync(join(directory, name), { force: true });
}
