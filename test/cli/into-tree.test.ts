import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, relative } from "node:path";
import { expect, test } from "vitest";
import { checkout } from "../../vm/paths.js";
import { sourceFiles } from "../../vm/source-files.js";
import { temporaryFolder } from "./support.js";

const guest = join(checkout, "guest");

const balloon = "obj-$(CONFIG_VIRTIO_BALLOON) += virtio_balloon.o\n";
const makefile = `obj-$(CONFIG_VIRTIO) += virtio.o virtio_ring.o\n${balloon}obj-y += last.o\n`;
const kconfig = "if VIRTIO_MENU\n\nconfig VIRTIO_PCI\n\tbool\n\nendif # VIRTIO_MENU\n";

/** As much of a kernel's tree as the command looks at. */
function kernelTree(files: { Makefile?: string; Kconfig?: string } = {}): string {
  const kernel = join(temporaryFolder(), "a kernel");
  const virtio = join(kernel, "drivers/virtio");
  mkdirSync(virtio, { recursive: true });
  writeFileSync(join(virtio, "Makefile"), files.Makefile ?? makefile);
  writeFileSync(join(virtio, "Kconfig"), files.Kconfig ?? kconfig);
  return kernel;
}

function intoTree(kernel: string, from = guest) {
  const { status, stderr, stdout } = spawnSync(join(from, "into-tree"), [kernel], {
    encoding: "utf8",
  });
  return { status, stderr, stdout };
}

const done = { status: 0, stderr: "", stdout: "" };

/** Every file of a tree with its content and when it was written. */
function everything(directory: string): Record<string, string> {
  const files = readdirSync(directory, { recursive: true, encoding: "utf8" })
    .map((name) => join(directory, name))
    .filter((path) => statSync(path).isFile());
  return Object.fromEntries(
    files.map((path) => [path, `${statSync(path).mtimeMs} ${readFileSync(path, "utf8")}`]),
  );
}

test("into-tree copies the driver's source, and adds a line to each of two files", () => {
  const kernel = kernelTree();
  expect(intoTree(kernel)).toEqual(done);
  const virtio = join(kernel, "drivers/virtio");
  expect(readFileSync(join(virtio, "Makefile"), "utf8")).toBe(
    makefile.replace(balloon, `obj-$(CONFIG_VIRTIO_PSTORE) += pstore/\n${balloon}`),
  );
  expect(readFileSync(join(virtio, "Kconfig"), "utf8")).toBe(
    kconfig.replace("endif", 'source "drivers/virtio/pstore/Kconfig"\nendif'),
  );
  // What is of use only outside of a kernel's tree stays there.
  const others = ["COPYING", "Makefile", "dkms.conf", "into-tree"];
  const driver = sourceFiles(guest)
    .map((path) => relative(guest, path))
    .filter((name) => !others.includes(name));
  expect(driver).toContain("include/uapi/linux/virtio_pstore.h");
  const copied = Object.keys(everything(join(virtio, "pstore"))).sort();
  expect(copied).toEqual(driver.map((name) => join(virtio, "pstore", name)).sort());
  for (const name of driver) {
    expect(readFileSync(join(virtio, "pstore", name))).toEqual(readFileSync(join(guest, name)));
  }
});

test("into-tree changes nothing the second time, and brings up to date what is older", () => {
  const kernel = kernelTree();
  intoTree(kernel);
  const before = everything(kernel);
  expect(intoTree(kernel)).toEqual(done);
  expect(everything(kernel)).toEqual(before);

  const old = join(kernel, "drivers/virtio/pstore/main.c");
  writeFileSync(old, "old");
  expect(intoTree(kernel)).toEqual(done);
  expect(readFileSync(old)).toEqual(readFileSync(join(guest, "main.c")));
});

test("into-tree leaves behind what a build has left in the driver's folder", () => {
  const built = join(temporaryFolder(), "guest");
  cpSync(guest, built, { recursive: true });
  for (const name of ["virtio_pstore.mod.c", "main.o", "modules.order"]) {
    writeFileSync(join(built, name), "");
  }
  const [kernel, other] = [kernelTree(), kernelTree()];
  expect(intoTree(kernel, built)).toEqual(done);
  intoTree(other);
  const names = (tree: string) => readdirSync(join(tree, "drivers/virtio/pstore")).sort();
  expect(names(kernel)).toEqual(names(other));
});

test.each([
  ["no place in the Makefile", { Makefile: makefile.replace(balloon, "") }, "Makefile", 0],
  ["two places in the Makefile", { Makefile: makefile + balloon }, "Makefile", 2],
  ["no place in Kconfig", { Kconfig: "if VIRTIO_MENU\nendif\n" }, "Kconfig", 0],
  ["two places in Kconfig", { Kconfig: `${kconfig}endif # VIRTIO_MENU\n` }, "Kconfig", 2],
])("into-tree changes nothing where there is %s, and says so", (_, files, name, times) => {
  const kernel = kernelTree(files);
  const before = everything(kernel);
  const { status, stderr } = intoTree(kernel);
  expect(status).toBe(1);
  expect(stderr).toContain(join(kernel, "drivers/virtio", name));
  expect(stderr).toContain(` ${times} times, not once: `);
  expect(stderr).toMatch(/ belongs before it; nothing was changed\n$/);
  expect(stderr.trimEnd()).not.toContain("\n");
  expect(everything(kernel)).toEqual(before);
  expect(existsSync(join(kernel, "drivers/virtio/pstore"))).toBe(false);
});

test("into-tree --help tells its usage", () => {
  expect(intoTree("--help")).toMatchObject({ status: 0, stdout: "usage: into-tree KERNEL\n" });
});

test("into-tree refuses what is no kernel's source", () => {
  const { status, stderr } = intoTree(join(temporaryFolder(), "nothing"));
  expect(status).toBe(1);
  expect(stderr).toMatch(/Makefile isn't there: KERNEL is to be the source of Linux .*changed\n$/);
  expect(spawnSync(join(guest, "into-tree"), [], { encoding: "utf8" })).toMatchObject({
    status: 2,
    stderr: expect.stringMatching(/^usage: into-tree KERNEL\n$/),
  });
});
