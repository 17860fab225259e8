import type { Machine } from "./layout.js";

/** What QEMU's command line says of the guest's memory. */
export interface QemuMemory {
  readonly machine: Machine;
  /** The sizes of the blocks that are the machine's memory, in order; empty where it isn't said. */
  readonly main: readonly number[];
  /** How it is encrypted, as QEMU's object is called; undefined where it isn't. */
  readonly encrypted: string | undefined;
}

/** Objects with which QEMU runs a guest whose memory the host can't read. */
const ENCRYPTING = ["sev-guest", "sev-snp-guest", "tdx-guest"];

type Properties = ReadonlyMap<string, string>;

const UNITS: Readonly<Record<string, number>> = {
  b: 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
};

/**
 * Reads the arguments of a process, its own name among them; undefined where it isn't QEMU. A program that starts
 * QEMU as its argument, such as a dynamic linker, is taken for it.
 */
export function qemuMemory(argv: readonly string[]): QemuMemory | undefined {
  const isQemu = argv.slice(0, 8).some((word) => /(?:^|\/)qemu-(?:system-|kvm)|\/kvm$/.test(word));
  if (!isQemu) return undefined;
  const objects = values(argv, "object").map((text) => properties(text, "qom-type"));
  const sizes = new Map(
    objects.map((object) => [object.get("id") ?? "", sizeOf(object.get("size"), 1)]),
  );
  const types = objects.map((object) => object.get("qom-type"));
  const machine = merged(values(argv, "machine", "M").map((text) => properties(text, "type")));
  const nodes = values(argv, "numa").flatMap((text) => {
    const size = sizes.get(properties(text, "type").get("memdev") ?? "");
    return size === undefined ? [] : [size];
  });
  const memory = merged(values(argv, "m").map((text) => properties(text, "size")));
  const size = sizeOf(memory.get("size"), 2 ** 20);
  const main = nodes.length > 0 ? nodes : size === undefined ? [] : [size];
  return {
    machine: machineOf(machine.get("type") ?? ""),
    main,
    encrypted: ENCRYPTING.find((type) => types.includes(type)),
  };
}

function machineOf(type: string): Machine {
  if (/q35/.test(type)) return "q35";
  return type === "microvm" ? "microvm" : "pc";
}

/** The values of an option, which has one dash or two. */
function values(argv: readonly string[], ...names: readonly string[]): string[] {
  return argv.flatMap((word, i) =>
    names.some((name) => word === `-${name}` || word === `--${name}`) ? (argv[i + 1] ?? []) : [],
  );
}

/** `a,b=c` or JSON, as libvirt gives it. `first` is the name of the value that has none. */
function properties(text: string, first: string): Properties {
  if (text.startsWith("{")) return jsonProperties(text);
  return new Map(
    text.split(/(?<!,),(?!,)/).map((part, i) => {
      const at = part.indexOf("=");
      if (at < 0) return i === 0 ? [first, part] : [part, ""];
      return [part.slice(0, at), part.slice(at + 1)];
    }),
  );
}

function jsonProperties(text: string): Properties {
  try {
    return new Map(Object.entries(JSON.parse(text) as object).map(([k, v]) => [k, String(v)]));
  } catch {
    return new Map();
  }
}

/** QEMU adds what later options say to what earlier ones did. */
function merged(all: readonly Properties[]): Properties {
  return new Map(all.flatMap((one) => [...one]));
}

function sizeOf(text: string | undefined, unit: number): number | undefined {
  const [, digits, suffix = ""] = /^(\d+(?:\.\d+)?)([bkmgt]?)$/i.exec(text ?? "") ?? [];
  if (digits === undefined) return undefined;
  const size = Number(digits) * (suffix === "" ? unit : (UNITS[suffix.toLowerCase()] ?? 1));
  return Number.isSafeInteger(size) ? size : undefined;
}
