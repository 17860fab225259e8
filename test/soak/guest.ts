import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { SystemError } from "../../src/os/index.js";
import { FakeFrontEnd, HungUpError } from "../support/fake-front-end.js";
import { GuestRam, MIB } from "../support/guest-ram.js";
import { type PstoreDriver, startPstoreDriver } from "../support/pstore-driver.js";
import { F_EXTENDED } from "../support/pstore-wire.js";
import { F_VERSION_1, header, VERSION, VU } from "../support/vhost-user-wire.js";

const DMESG = 1;
const CONSOLE = 2;

const POLL_MS = 4;
const LINE_BYTES = 64;
const DUMP_BYTES = [200, 4000, 15_000];

/** What a guest sent, and was told of it: 0 or a negative errno; undefined where it left before. */
export interface Sent {
  readonly type: "dmesg" | "console";
  readonly text: string;
  ret: number | undefined;
}

/** A guest that boots, prints, crashes, leaves and misbehaves at random until it is told to end. */
export class SoakGuest {
  readonly name: string;
  readonly sent: Sent[] = [];
  boots = 0;
  misbehaved = 0;
  acknowledged = 0;
  refused = 0;
  /** Connections that ended without an answer: of a daemon that was killed before it had given them away. */
  lost = 0;
  readonly #socket: string;
  readonly #isOver: () => boolean;

  constructor(name: string, socket: string, isOver: () => boolean) {
    this.name = name;
    this.#socket = socket;
    this.#isOver = isOver;
  }

  /** Throws where the back-end doesn't answer, or hangs up on a guest that did nothing wrong. */
  async run(): Promise<void> {
    while (!this.#isOver()) {
      const frontEnd = await this.#connect();
      const ram = new GuestRam([{ guestAddress: 0n, size: MIB }]);
      const queues: { close(): void }[] = [];
      try {
        const driver = await startPstoreDriver(frontEnd, ram, {
          features: F_VERSION_1 | F_EXTENDED,
          bootId: randomBytes(16),
        });
        queues.push(...driver.queues);
        this.boots++;
        await this.#live(frontEnd, driver);
      } finally {
        frontEnd.close();
        for (const queue of queues) queue.close();
        ram.close();
      }
    }
  }

  /** A connection on which the back-end has answered. */
  async #connect(): Promise<FakeFrontEnd> {
    for (;;) {
      const frontEnd = await this.#connectOnce();
      try {
        await frontEnd.askU64(VU.GET_FEATURES);
        return frontEnd;
      } catch (error) {
        frontEnd.close();
        if (!(error instanceof HungUpError)) throw error;
        this.lost++;
      }
    }
  }

  async #connectOnce(): Promise<FakeFrontEnd> {
    for (;;) {
      try {
        return FakeFrontEnd.connect(this.#socket, () => sleep(POLL_MS));
      } catch (error) {
        // Too many wait at this socket already.
        if (!(error instanceof SystemError) || error.code !== "EAGAIN") throw error;
        await sleep(POLL_MS);
      }
    }
  }

  /** One boot. */
  async #live(frontEnd: FakeFrontEnd, driver: PstoreDriver): Promise<void> {
    for (let actions = 1 + below(60); actions > 0 && !this.#isOver(); actions--) {
      await sleep(below(400));
      const choice = below(20);
      if (choice < 13) await this.#send(driver, "console");
      else if (choice < 18) await this.#send(driver, "dmesg");
      else if (choice < 19) return;
      else {
        this.misbehaved++;
        misbehave(frontEnd);
        return;
      }
    }
  }

  async #send(driver: PstoreDriver, type: Sent["type"]): Promise<void> {
    const key = `${this.name} boot ${this.boots} number ${this.sent.length} `;
    const text =
      type === "console"
        ? `${key.padEnd(LINE_BYTES - 1, ".")}\n`
        : `Panic#1 Part1\n${key}`.padEnd(pick(DUMP_BYTES), "x");
    const sent: Sent = { type, text, ret: undefined };
    this.sent.push(sent);
    const number = type === "console" ? CONSOLE : DMESG;
    sent.ret = (await driver.write({ type: number }, Buffer.from(text))).ret;
    if (sent.ret === 0) this.acknowledged++;
    else this.refused++;
  }
}

/** Something that no front-end does; the connection is closed after it. */
function misbehave(frontEnd: FakeFrontEnd): void {
  switch (below(3)) {
    case 0:
      frontEnd.sendBytes(randomBytes(100));
      return;
    case 1:
      frontEnd.sendBytes(header(below(50), VERSION, 40));
      return;
    default:
      frontEnd.send(below(50), randomBytes(below(64)));
  }
}

const below = (end: number): number => Math.floor(Math.random() * end);
const pick = (numbers: readonly number[]): number => numbers[below(numbers.length)] ?? 0;
