import { DEFAULT_QUOTAS, DirectoryStore, type StoreOptions } from "../../src/store/index.js";

/** What was done with a store, and what it answered. All texts differ. */
export type Told =
  /** A record that was written, whatever comes of it. */
  | { readonly kind: "sent"; readonly text: string }
  /** It was acknowledged. */
  | { readonly kind: "stored"; readonly text: string }
  /** So was a stream's data, which doesn't wait for the disk. */
  | { readonly kind: "line"; readonly text: string }
  /** So was how a front-end went away, then: a number that it is known by. */
  | { readonly kind: "ended"; readonly text: string }
  /** The guest asked for a record to be erased. */
  | { readonly kind: "erasing"; readonly text: string }
  /** That was acknowledged. */
  | { readonly kind: "erased"; readonly text: string };

/** Small enough that records are dropped and streams rotated. */
const quotas = {
  ...DEFAULT_QUOTAS,
  dmesg: { records: 5, bytes: 4096 },
  console: { records: 4, bytes: 256 },
};

const [A, B] = ["a".repeat(32), "b".repeat(32)] as const;

/**
 * Whatever a guest does with a store: boots, prints, dies, and erases; the process ends and starts anew.
 * A call that fails is passed over, as the guest does. `more` says how long it is.
 */
export class Scenario {
  readonly #directory: string;
  readonly #options: StoreOptions;
  readonly #told: (event: Told) => void;
  #timers: (() => void)[] = [];
  #texts = 0;

  constructor(directory: string, options: StoreOptions, told: (event: Told) => void) {
    this.#directory = directory;
    this.#options = options;
    this.#told = told;
  }

  /** Throws StoreError where the directory can't be used. */
  open(): DirectoryStore {
    return new DirectoryStore(this.#directory, {
      quotas,
      after: (_, task) => this.#timers.push(task),
      ...this.#options,
    });
  }

  /** What all of the tests of crashes and faults run; it ends with a restart. */
  run(): void {
    const first = this.open();
    this.boot(first, A);
    this.lines(first, 2);
    this.dump(first, `Panic#1 Part1 boot=${A}`, `Panic#1 Part2 boot=${A}`);
    this.end(first);
    this.boot(first, B);
    this.lines(first, 8);
    this.tick();
    this.erase(first, 0);
    for (const count of [1, 2, 3, 4]) this.dump(first, `Oops#${count} Part1 boot=${B}`);
    this.lines(first, 1);
    attempt(() => {
      first.close();
    });
    const second = this.open();
    this.end(second);
    this.boot(second, B);
    this.lines(second, 3);
    this.erase(second, 1);
    this.dump(second, `Panic#5 Part1 boot=${B}`);
    attempt(() => {
      second.close();
    });
  }

  /** So many things in a row, of which each number names one, with a restart where it says so. */
  runSteps(steps: readonly number[]): void {
    let store = this.open();
    let count = 0;
    for (const step of steps) {
      const boot = step % 2 === 0 ? A : B;
      if (step < 4) this.lines(store, step + 1);
      else if (step < 6) this.boot(store, boot);
      else if (step < 9) this.dump(store, `Oops#${++count} Part1 boot=${boot}`);
      else if (step < 10) this.dump(store, ...[1, 2, 3].map((part) => `Panic#${part} Part${part}`));
      else if (step < 12) this.erase(store, step - 10);
      else if (step < 13) this.tick();
      else {
        attempt(() => {
          store.close();
        });
        store = this.open();
      }
    }
    store.close();
  }

  boot(store: DirectoryStore, id: string): void {
    attempt(() => {
      store.beginBoot(id);
    });
  }

  end(store: DirectoryStore): void {
    const timeMs = this.#texts++;
    attempt(() => {
      store.noteEnd({ kind: "stopped", connectedMs: timeMs, timeMs });
      this.#told({ kind: "ended", text: `${timeMs}` });
    });
  }

  lines(store: DirectoryStore, count: number): void {
    for (let i = 0; i < count; i++) {
      const text = `line ${this.#texts++} of it\n`;
      attempt(() => {
        store.append("console", [Buffer.from(text)]);
        this.#told({ kind: "line", text });
      });
    }
  }

  /** Records of one batch. */
  dump(store: DirectoryStore, ...heads: readonly string[]): void {
    const texts = heads.map((head) => `${head}\nrecord ${this.#texts++}\n`);
    const places = new Map<number, string>();
    for (const text of texts) {
      attempt(() => {
        this.#told({ kind: "sent", text });
        const half = text.length >> 1;
        const data = [Buffer.from(text.slice(0, half)), Buffer.from(text.slice(half))];
        places.set(store.write("dmesg", false, data), text);
      });
    }
    attempt(() => {
      store.commit(({ writes }) => {
        for (const [place, text] of places) {
          if (writes[place] === 0) this.#told({ kind: "stored", text });
        }
      });
    });
  }

  /** The nth of the records that are shown. */
  erase(store: DirectoryStore, nth: number): void {
    attempt(() => {
      const record = store.visible.records(["dmesg"])[nth];
      const text = record && store.visible.read(record, 1000)?.data.toString();
      if (record === undefined || text === undefined) return;
      this.#told({ kind: "erasing", text });
      if (!store.erase("dmesg", record.id)) return;
      store.commit(({ rest }) => {
        if (rest === 0) this.#told({ kind: "erased", text });
      });
    });
  }

  /** Half a second passes. */
  tick(): void {
    const timers = this.#timers;
    this.#timers = [];
    for (const task of timers) attempt(task);
  }
}

/** Only what a system call can say is passed over. */
function attempt(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof Error && "errno" in error)) throw error;
  }
}
