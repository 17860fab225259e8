// Bundles what the package publishes into dist/program; bootstrap.mjs runs it behind the compiler.
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { rolldown } from "rolldown";

const FOLDER = "dist/program";

/** commander has it for commands that are programs of their own, which ours aren't; it takes some milliseconds. */
const withoutChildProcess = {
  name: "without-child-process",
  transform: {
    filter: { id: /\/commander\/lib\/command\.js$/ },
    handler: (code) => code.replace("require('node:child_process')", "{}"),
  },
};

/**
 * Each command is a file of its own, which is loaded when it is needed. What every start needs is one file, and what
 * the commands that read crashes have in common another: loading a file costs more than what isn't needed in it.
 */
const PROGRAM = {
  input: { main: "src/cli/main.ts" },
  groups: [
    {
      name: "start",
      test: /\/(?:cli\/(?:commands|stdout)|service\/errors|version)\.ts$|\/commander\//,
      priority: 2,
    },
    { name: "read", test: /\/src\/cli\/list\.ts$/, priority: 1 },
  ],
};

/** Processes and threads that are started by their files' names, and what package.json exports. */
const SERVICE = {
  input: {
    "daemon-launcher": "src/service/start/daemon-launcher.ts",
    "daemon-process": "src/service/start/daemon-process.ts",
    "loop-thread": "src/service/daemon/loop-thread.ts",
    "sync-thread": "src/service/daemon/sync-thread.ts",
    "hold-process": "src/service/attach/hold-process.ts",
    "compress-thread": "src/memory/vmcore/compress-thread.ts",
    index: "src/index.ts",
    "vhost-user": "src/virtio/vhost-user/index.ts",
    virtqueue: "src/virtio/virtqueue/index.ts",
  },
  groups: [],
};

/** The folder of the package that a file is of; undefined for our own. */
const packageOf = (file) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0];

rmSync(FOLDER, { recursive: true, force: true });
const packages = new Set();
for (const { input, groups } of [PROGRAM, SERVICE]) {
  const bundle = await rolldown({
    input,
    platform: "node",
    // It has machine code, which it finds beside itself.
    external: ["koffi"],
    resolve: { extensionAlias: { ".js": [".ts", ".js"] } },
    plugins: [withoutChildProcess],
    logLevel: "warn",
  });
  const { output } = await bundle.write({
    dir: FOLDER,
    format: "esm",
    // All in one folder: they find each other by `import.meta.url`.
    entryFileNames: "[name].js",
    chunkFileNames: "[name]-[hash].js",
    codeSplitting: { groups },
    comments: { legal: true, annotation: false, jsdoc: false },
  });
  await bundle.close();
  for (const file of output.flatMap(({ moduleIds = [] }) => moduleIds))
    packages.add(packageOf(file));
}

// Their licences ask for it.
packages.delete(undefined);
const licences = [...packages].sort().map((folder) => {
  const name = readdirSync(folder).find((name) => /^licen[cs]e/i.test(name));
  if (name === undefined) throw new Error(`${folder} has no licence: what is bundled needs one`);
  return `${basename(folder)}\n\n${readFileSync(join(folder, name), "utf8")}`;
});
writeFileSync(join(FOLDER, "LICENSES"), licences.join("\n\n"));
