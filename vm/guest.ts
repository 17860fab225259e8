import { buildDriver, placeOf, type Target, type UmlName } from "./build.js";
import {
  type FirstModule,
  type GuestFiles,
  initramfs,
  initramfsPart,
  scriptEndMark,
} from "./initramfs.js";
import { type KernelName, kernel, kernelParts } from "./kernel.js";
import { ensure } from "./part.js";
import { type RunResult, run } from "./process.js";
import { qemuPart, qemuProgram } from "./qemu.js";
import { type UmlCompressor, umlModules, umlProgram } from "./uml.js";
import { umlPstoreProgram } from "./uml-pstore.js";

interface GuestOptions extends Omit<GuestFiles, "driver" | "firstModules"> {
  /** true (the default): guest/ built for this kernel; false: none; a string: the path of another module. */
  readonly driver?: boolean | string;
  /** Added to the kernel's command line. */
  readonly append?: string;
  readonly memoryMiB?: number;
}

export interface QemuGuestOptions extends GuestOptions {
  readonly kernel: KernelName;
  /** Where the guest's console goes: stdout (the default), a file, or nowhere. */
  readonly serial?: "stdio" | "none" | { readonly file: string };
  /** Starts the bzImage although a vmlinux is there. */
  readonly bzImage?: boolean;
  /** Further arguments for QEMU. */
  readonly arguments?: readonly string[];
}

export interface UmlGuestOptions extends GuestOptions {
  /** Debian's by default. */
  readonly kernel?: UmlName;
  /** What the guest's pstore compresses with; "none" stores plain text. */
  readonly compressor?: UmlCompressor;
}

/**
 * Ends QEMU at a panic or a poweroff. The rest is time under pure emulation: no checks of emulated timers, no
 * mitigations, no self-tests.
 */
const qemuCommandLine =
  "panic=-1 quiet no_timer_check mitigations=off random.trust_cpu=on rcupdate.rcu_expedited=1 cryptomgr.notests";

/**
 * The argv of QEMU for a guest that runs `script` and powers off. The virtio-pstore device and the shared memory it
 * needs are added by `virtio-pstore run`; the machine is given as `-machine q35`, to which QEMU adds the
 * properties of a further `-machine memory-backend=…`.
 */
export async function qemuGuest(options: QemuGuestOptions): Promise<string[]> {
  await ensure(qemuPart);
  await ensure(initramfsPart);
  await ensure(kernelParts[options.kernel]);
  const driver = await driverPath(options.driver ?? true, options.kernel);
  const { image, bzImage, modules } = kernel(options.kernel);
  const { serial = "stdio" } = options;
  const consoleWord = serial === "none" ? "" : "console=ttyS0";
  return [
    qemuProgram,
    ...["-accel", "tcg", "-machine", "q35", "-cpu", "max", "-smp", "1"],
    ...["-m", `${options.memoryMiB ?? 256}M`],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-serial", typeof serial === "object" ? `file:${serial.file}` : serial],
    ...["-kernel", options.bzImage === true ? bzImage : image],
    ...[
      "-initrd",
      initramfs(
        guestFiles(
          options,
          driver,
          modules.map((path) => ({ path })),
        ),
      ),
    ],
    ...["-append", words(consoleWord, qemuCommandLine, options.append)],
    ...(options.arguments ?? []),
  ];
}

/** The argv of a user-mode-linux guest, likewise; `virtio_uml.device=SOCKET:22` is to be added. */
export async function umlGuest(options: UmlGuestOptions): Promise<string[]> {
  const { kernel = "uml", compressor = "deflate" } = options;
  await ensure(placeOf(kernel).part);
  await ensure(initramfsPart);
  const driver = await driverPath(options.driver ?? true, kernel);
  const modules = kernel === "uml" ? umlModules(compressor) : [];
  return [
    kernel === "uml" ? umlProgram : umlPstoreProgram,
    `mem=${options.memoryMiB ?? 128}M`,
    `initrd=${initramfs(guestFiles(options, driver, modules))}`,
    ...["con=null", "con0=null,fd:1", "ssl=null", "quiet"],
    // Where pstore is built in; as a module it gets it as a parameter.
    `pstore.compress=${compressor}`,
    ...words(options.append).split(" ").filter(Boolean),
  ];
}

async function driverPath(wanted: boolean | string, target: Target): Promise<string | undefined> {
  if (wanted === false) return undefined;
  return wanted === true ? (await buildDriver(target)).path : wanted;
}

function guestFiles(
  { driver: _, ...files }: GuestOptions,
  driver: string | undefined,
  firstModules: readonly FirstModule[],
): GuestFiles {
  return { ...files, firstModules, ...(driver === undefined ? {} : { driver }) };
}

function words(...parts: readonly (string | undefined)[]): string {
  return parts.filter(Boolean).join(" ");
}

export interface GuestLimits {
  /** Ten minutes by default, which only a guest that hangs takes; then it is killed. */
  readonly timeoutMs?: number;
  /** 8 MiB by default; then the guest is killed. */
  readonly maxOutputBytes?: number;
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

export interface GuestResult extends RunResult {
  /** What /test.sh ended with; null when it never came to its end, as in a panic. */
  readonly scriptStatus: number | null;
}

/** Runs a guest, or a command that runs one, to its end, but never longer or louder than the limits. */
export async function runGuest(
  argv: readonly string[],
  limits: GuestLimits = {},
): Promise<GuestResult> {
  const [command = "", ...args] = argv;
  const result = await run(command, args, {
    timeoutMs: 600_000,
    maxOutputBytes: 8 << 20,
    ...limits,
  });
  const status = new RegExp(`${scriptEndMark} (\\d+)`).exec(result.output)?.[1];
  return { ...result, scriptStatus: status === undefined ? null : Number(status) };
}
