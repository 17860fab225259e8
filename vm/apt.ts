import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inVm } from "./paths.js";
import { lastLines, type RunResult, run } from "./process.js";
import { megabytes, withProgress } from "./progress.js";
import { VmUnavailable } from "./unavailable.js";

export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  readonly sizeBytes: number;
}

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
const mirror = "http://deb.debian.org/debian";
const securityMirror = "http://deb.debian.org/debian-security";

const suites = {
  bookworm: [
    [mirror, "bookworm"],
    [mirror, "bookworm-updates"],
    [securityMirror, "bookworm-security"],
  ],
  trixie: [
    [mirror, "trixie"],
    [mirror, "trixie-updates"],
    [mirror, "trixie-backports"],
    [securityMirror, "trixie-security"],
  ],
} as const;

export type Release = keyof typeof suites;

/** Package lists older than this name versions that the mirror may have dropped. */
const listsMaxAgeMs = 3600_000;

/**
 * A Debian release seen through apt's own folders below `.vm/apt/`: the host's apt state is neither read nor
 * written, and its dpkg database is replaced by an empty one, so that a plan names every dependency.
 */
export class Apt {
  readonly #release: Release;
  readonly #directory: string;
  #refreshed: Promise<void> | undefined;

  constructor(release: Release) {
    this.#release = release;
    this.#directory = inVm("apt", release);
  }

  /** The packages that `install` would fetch, dependencies included. `suite` prefers one suite, as `apt -t` does. */
  async plan(packages: readonly string[], suite?: string): Promise<DebianPackage[]> {
    await this.#refresh();
    const prefer = suite === undefined ? [] : ["-t", suite];
    const result = await this.#run("apt-get", [
      ...["-y", "--no-install-recommends", ...prefer, "install", "--print-uris"],
      ...packages,
    ]);
    if (result.status !== 0) {
      throw new VmUnavailable(
        "not-in-mirror",
        `Debian ${this.#release} can't give ${packages.join(", ")} (${firstError(result.output)}): ` +
          "try again later, the mirror may be between two versions",
      );
    }
    return [...result.output.matchAll(/^'[^']*' ([^_ ]+)_([^_ ]+)_[^_ ]+\.deb (\d+) /gm)].map(
      ([, name = "", version = "", size = "0"]) => ({
        name,
        version: decodeURIComponent(version),
        sizeBytes: Number(size),
      }),
    );
  }

  /** One field of one package's entry in the lists, or undefined. */
  async field(packageName: string, field: string): Promise<string | undefined> {
    await this.#refresh();
    const { output } = await this.#run("apt-cache", ["show", "--no-all-versions", packageName]);
    return new RegExp(`^${field}: (.*)$`, "m").exec(output)?.[1];
  }

  /** Downloads packages, checked against the signed lists by apt, into `directory`. Gives the files' paths. */
  async download(
    packages: readonly DebianPackage[],
    directory: string,
    label: string,
  ): Promise<string[]> {
    await this.#refresh();
    mkdirSync(directory, { recursive: true });
    const total = packages.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const names = packages.map(({ name, version }) => `${name}=${version}`);
    const result = await withProgress(
      `Downloading ${label} (${packages.length} Debian packages)`,
      () => this.#run("apt-get", ["download", ...names], directory),
      () => `${megabytes(sizeOfFiles(directory))} of ${megabytes(total)}`,
    );
    if (result.status !== 0) throw this.#failure(result);
    return readdirSync(directory)
      .filter((name) => name.endsWith(".deb"))
      .map((name) => join(directory, name));
  }

  #refresh(): Promise<void> {
    this.#refreshed ??= this.#fetchLists();
    return this.#refreshed;
  }

  async #fetchLists(): Promise<void> {
    const stamp = join(this.#directory, "refreshed");
    if (existsSync(stamp) && Date.now() - statSync(stamp).mtimeMs < listsMaxAgeMs) return;
    if (!existsSync("/usr/bin/apt-get") || !existsSync("/usr/bin/dpkg-deb")) {
      throw new VmUnavailable(
        "not-debian",
        "guests are made from Debian packages and there is no apt-get and dpkg-deb here: use Debian 12 or later",
      );
    }
    if (!existsSync(keyring)) {
      throw new VmUnavailable(
        "not-debian",
        `${keyring} is missing: install the package debian-archive-keyring`,
      );
    }
    for (const part of ["state/lists/partial", "cache/archives/partial"]) {
      mkdirSync(join(this.#directory, part), { recursive: true });
    }
    writeFileSync(join(this.#directory, "status"), "");
    const lines = suites[this.#release].map(
      ([address, suite]) => `deb [signed-by=${keyring}] ${address} ${suite} main\n`,
    );
    writeFileSync(join(this.#directory, "sources.list"), lines.join(""));
    writeFileSync(this.#configuration, `${await hostNetworkSettings()}${this.#settings()}`);
    const result = await withProgress(`Reading Debian's package lists (${this.#release})`, () =>
      this.#run("apt-get", ["update", "--error-on=any"]),
    );
    if (result.status !== 0) throw this.#failure(result);
    writeFileSync(stamp, "");
  }

  get #configuration(): string {
    return join(this.#directory, "apt.conf");
  }

  #settings(): string {
    return `Dir::State "${this.#directory}/state";
Dir::State::status "${this.#directory}/status";
Dir::Cache "${this.#directory}/cache";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "${this.#directory}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::http::Timeout "20";
`;
  }

  #run(command: string, args: readonly string[], cwd?: string): Promise<RunResult> {
    return run(command, args, {
      env: { ...process.env, APT_CONFIG: this.#configuration, LC_ALL: "C" },
      ...(cwd === undefined ? {} : { cwd }),
    });
  }

  #failure({ output }: RunResult): VmUnavailable {
    const what = firstError(output);
    if (/No space left/i.test(output)) {
      return new VmUnavailable("no-space", `no space left in ${inVm()}: ${what}`);
    }
    if (/404 +Not Found/.test(output)) {
      return new VmUnavailable(
        "not-in-mirror",
        `the mirror dropped a package meanwhile (${what}): remove ${this.#directory} and try again`,
      );
    }
    if (/resolv|connect|unreachable|timed out|Failed to fetch/i.test(output)) {
      return new VmUnavailable(
        "no-network",
        `${mirror} can't be reached (${what}): guests need the network once`,
      );
    }
    return new VmUnavailable("broken", `apt failed: ${lastLines(output, 3)}`);
  }
}

function firstError(output: string): string {
  const line = output.split("\n").find((text) => /^(E|Err|W)[: ]/.test(text));
  return (line ?? lastLines(output, 1)).replace(/^(E|W): /, "");
}

function sizeOfFiles(directory: string): number {
  let sum = 0;
  for (const name of readdirSync(directory)) {
    try {
      sum += statSync(join(directory, name)).size;
    } catch {
      // apt renames its files while they are counted
    }
  }
  return sum;
}

/** The host's proxy and the like are kept; its hooks, pins and sources are not. */
async function hostNetworkSettings(): Promise<string> {
  const { output } = await run("apt-config", ["dump"]);
  return output
    .split("\n")
    .filter((line) => /^Acquire::(https?|ForceIPv4|ForceIPv6)[: ].*"[^"]+";$/.test(line))
    .map((line) => `${line}\n`)
    .join("");
}

const releases = new Map<Release, Apt>();

/** One object for each release, so that its lists are fetched once. */
export function apt(release: Release): Apt {
  let found = releases.get(release);
  if (found === undefined) {
    found = new Apt(release);
    releases.set(release, found);
  }
  return found;
}

/** The lists are a quarter of a gigabyte, old within the hour, and not needed by anything that is made. */
export function dropLists(): void {
  releases.clear();
  rmSync(inVm("apt"), { recursive: true, force: true });
}
