import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { checkout } from "../../vm/paths.js";

/** Where npm's packages are of which the published one needs some. */
const modules = join(checkout, "node_modules");

/** A project of somebody else, into which the package is installed. */
export interface Project {
  readonly folder: string;
  /** Runs a command there and throws where it fails: what it printed. */
  run(command: string, ...args: readonly string[]): string;
}

/** Packs the package as npm publishes it, and installs that into a new project in an empty folder, without network. */
export function installPacked(folder: string): Project {
  const run = (command: string, ...args: readonly string[]): string => {
    const { status, stdout, stderr } = spawnSync(command, args, {
      cwd: folder,
      encoding: "utf8",
      env: { ...process.env, npm_config_cache: join(folder, ".npm") },
    });
    if (status === 0) return stdout;
    throw new Error(`${command} ${args.join(" ")}: status ${status}: ${stdout}${stderr}`);
  };
  // Packed, too: npm installs a folder as a link.
  const binaries = readdirSync(join(modules, "@koromix")).map((name) => `@koromix/${name}`);
  const folders = ["koffi", ...binaries].map((name) => join(modules, name));
  const options = ["--silent", "--ignore-scripts", "--pack-destination", folder];
  const files = run("npm", "pack", ...options, checkout, ...folders)
    .trim()
    .split("\n");
  const names = ["virtio-pstore", "koffi", ...binaries];
  const dependencies = Object.fromEntries(names.map((name, i) => [name, `file:${files[i]}`]));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module", dependencies }));
  run("npm", "install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund");
  return { folder, run };
}

const STRICT = {
  compilerOptions: {
    ...{ target: "ES2023", lib: ["ES2023"], module: "NodeNext", outDir: "out" },
    ...{ strict: true, noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true },
    ...{ noPropertyAccessFromIndexSignature: true, skipLibCheck: false },
    // Those that the package itself asks for.
    types: [],
    typeRoots: [join(modules, "@types")],
  },
};

/** Compiles TypeScript files in a strict project: the paths of what comes out. */
export function compileStrictly({ folder, run }: Project, ...sources: readonly string[]): string[] {
  const project = join(folder, "typescript");
  mkdirSync(project, { recursive: true });
  const names = sources.map((source) => basename(source));
  for (const [i, source] of sources.entries()) copyFileSync(source, join(project, names[i] ?? ""));
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ ...STRICT, files: names }));
  run(process.execPath, join(modules, "typescript", "bin", "tsc"), "-p", project);
  return names.map((name) => join(project, "out", name.replace(/ts$/, "js")));
}

/** The example of a whole device that docs/library.md shows. */
export const entropyExample = join(checkout, "docs", "examples", "entropy.ts");
