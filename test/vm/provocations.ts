import { createConnection } from "node:net";
import type { QemuGuestOptions } from "../../vm/guest.js";
import type { KernelName } from "../../vm/kernel.js";

// What kills a guest at a bad moment, for the tests and for a comparison of guests with and without the driver.

/** Lines that are printed before the provocation. */
export const lines = 500;

export interface Provocation {
  readonly kernel: KernelName;
  /** How the test's module is loaded, and what comes before. */
  readonly script: string;
  /** In the panic's first message. */
  readonly message: string;
  readonly options?: Partial<QemuGuestOptions>;
  /** It is in what only the driver does. */
  readonly inDriver?: true;
  /** Of the device; the third is the panic's own. */
  readonly queues?: 2 | 3;
  /** Number of oopses and panics, this one included. */
  readonly count?: number;
  /** Notes of what is missing. */
  readonly lost?: readonly string[];
}

export const insmod = (how: string) => `insmod /crash.ko lines=${lines} ${how}`;
export const inLock = "how=probe probe=virtqueue_add_sgs";
/** Something to send, so that the probe is hit. */
const print = "\necho something > /dev/kmsg";

/** Panics at bad moments. */
export const provocations: readonly (readonly [string, Provocation])[] = [
  [
    "in hard interrupt context",
    {
      kernel: "6.12",
      script: insmod("how=irq"),
      message: "crash: in interrupt context, hardirq 1",
    },
  ],
  ["in an NMI", { kernel: "7.3", script: insmod("how=nmi"), message: "crash: in NMI context" }],
  [
    "with the write queue's lock held",
    {
      kernel: "6.1",
      script: insmod(inLock) + print,
      inDriver: true,
      message: "crash: inside virtqueue_add_sgs",
    },
  ],
  [
    "with the write queue's lock held, and no queue of the panic's own",
    {
      kernel: "7.3",
      script: insmod(inLock) + print,
      inDriver: true,
      message: "crash: inside virtqueue_add_sgs",
      queues: 2,
    },
  ],
  [
    "while another CPU holds the write queue's lock",
    {
      kernel: "6.1",
      script: insmod(`${inLock} probe_when=held`),
      inDriver: true,
      message: "crash: while another CPU is inside virtqueue_add_sgs",
      // The storm that the probe waits for must not overwrite the log's beginning on a busy host.
      options: { append: "log_buf_len=4M", arguments: ["-smp", "2"] },
    },
  ],
  [
    "while another CPU is in the middle of a message",
    {
      kernel: "6.1",
      script: insmod("how=probe probe=prb_final_commit probe_when=held"),
      message: "crash: while another CPU is inside prb_final_commit",
      options: { append: "log_buf_len=4M", arguments: ["-smp", "2"] },
      // It has room for its message in the log, and will never write it.
      lost: ["[virtio-pstore: 1 lines lost]"],
    },
  ],
  [
    "while the log is being formatted for the dump",
    {
      kernel: "6.12",
      script: insmod("how=probe probe=kmsg_dump_reason_str probe_when=panic"),
      inDriver: true,
      message: "crash: inside kmsg_dump_reason_str",
      count: 2,
    },
  ],
  [
    "with the lock of the panic's own queue held",
    {
      kernel: "7.3",
      script: insmod(`${inLock} probe_when=panic`),
      inDriver: true,
      message: "crash: inside virtqueue_add_sgs",
      count: 2,
    },
  ],
  [
    "in another's panic notifier",
    {
      kernel: "6.1",
      script: insmod("how=probe probe=crash_on_panic probe_when=panic"),
      message: "crash: inside crash_on_panic",
      count: 2,
    },
  ],
  [
    "by an interrupt, as soon as the write queue's lock is released",
    {
      kernel: "6.1",
      script: insmod(`${inLock} probe_when=irq`) + print,
      inDriver: true,
      message: "crash: in interrupt context, hardirq 1",
    },
  ],
  [
    "by panic_on_oops, in a workqueue",
    {
      kernel: "6.1",
      script: `echo 1 > /proc/sys/kernel/panic_on_oops\n${insmod("how=oops")}`,
      message: "Kernel panic - not syncing: Fatal exception",
      count: 2,
    },
  ],
  [
    "by hung_task_panic",
    {
      kernel: "6.1",
      script: [
        "echo 1 > /proc/sys/kernel/hung_task_panic",
        "echo 1 > /proc/sys/kernel/hung_task_timeout_secs",
        insmod("how=hung"),
      ].join("\n"),
      message: "hung_task: blocked tasks",
    },
  ],
  [
    "by softlockup_panic",
    {
      kernel: "7.3",
      script: [
        "echo 1 > /proc/sys/kernel/softlockup_panic",
        "echo 1 > /proc/sys/kernel/watchdog_thresh",
        insmod("how=softlockup"),
      ].join("\n"),
      message: "softlockup: hung tasks",
    },
  ],
];

/** Another CPU's message is in the log before the panic's first one. */
export const overtaken: Provocation = {
  kernel: "6.12",
  script: insmod("how=overtaken"),
  message: "Kernel panic - not syncing: crash: overtaken",
  options: { arguments: ["-smp", "2"] },
};

/** A panic while four CPUs print. */
export const storm: Provocation = {
  kernel: "6.12",
  script: "insmod /crash.ko how=storm",
  message: "crash: in a storm",
  options: { arguments: ["-smp", "4"] },
};

/** The guest reports trouble, and goes on: what it prints in NMIs included. */
export const reporting = `
echo l > /proc/sysrq-trigger
echo READY
until dmesg | grep -q "Dazed and confused"; do sleep 0.1; done
insmod /crash.ko how=stall
`;

/** For the command line of a guest of two CPUs that runs it. */
export const reportingWords = "rcupdate.rcu_cpu_stall_timeout=3 log_buf_len=1M";

/** Raises an NMI that nobody has a reason for, on each CPU of a QEMU whose monitor is at `path`. */
export function raiseNmi(path: string): void {
  createConnection(path)
    .on("error", () => undefined)
    .end("nmi\n");
}
