import { readFileSync } from "node:fs";

/** When a process hangs. */
export interface HangLimits {
  /** How often it is looked at. */
  readonly lookMs: number;
  /** It had more of a processor's time since its last progress. */
  readonly processorSeconds: number;
  /** It slept at so many looks in a row and had nothing of a processor in between. */
  readonly sleepingLooks: number;
}

const LIMITS: HangLimits = { lookMs: 1000, processorSeconds: 60, sleepingLooks: 60 };

/** USER_HZ, the unit of times in /proc: the same on every Linux. */
const TICKS_PER_SECOND = 100;

/** What /proc/PID/stat says of a process's threads together, and of its first one. */
interface Use {
  readonly processorSeconds: number;
  readonly sleeps: boolean;
}

/**
 * Looks after a process that tells of its progress from time to time. What counts is the processor's time that it
 * gets: on a busy machine an input may take any time, and doesn't hang.
 */
export class Watchdog {
  readonly #pid: number;
  readonly #limits: HangLimits;
  readonly #timer: NodeJS.Timeout;
  /** At the last progress. */
  #began = 0;
  #last = 0;
  #slept = 0;

  /** `onHang` is told once how it hangs. */
  constructor(pid: number, onHang: (how: string) => void, limits = LIMITS) {
    this.#pid = pid;
    this.#limits = limits;
    this.#timer = setInterval(() => {
      const how = this.#look();
      if (how === undefined) return;
      this.end();
      onHang(how);
    }, limits.lookMs);
  }

  progress(): void {
    this.#began = useOf(this.#pid)?.processorSeconds ?? this.#last;
    this.#slept = 0;
  }

  end(): void {
    clearInterval(this.#timer);
  }

  #look(): string | undefined {
    const use = useOf(this.#pid);
    if (use === undefined) return undefined;
    const { processorSeconds, sleeps } = use;
    const limits = this.#limits;
    this.#slept = sleeps && processorSeconds === this.#last ? this.#slept + 1 : 0;
    this.#last = processorSeconds;
    if (processorSeconds - this.#began > limits.processorSeconds) {
      return `it takes more than ${limits.processorSeconds} s of a processor`;
    }
    return this.#slept >= limits.sleepingLooks ? "it waits for something without end" : undefined;
  }
}

/** Undefined where the process is gone. */
function useOf(pid: number): Use | undefined {
  try {
    // Behind the name: the state first, utime and stime the 12th and 13th (proc(5)).
    const [, fields = ""] = readFileSync(`/proc/${pid}/stat`, "latin1").split(/\) (?=[A-Z] )/);
    const words = fields.split(" ");
    const ticks = Number(words[11]) + Number(words[12]);
    return { processorSeconds: ticks / TICKS_PER_SECOND, sleeps: words[0] === "S" };
  } catch {
    return undefined;
  }
}
