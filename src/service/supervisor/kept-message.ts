import { closeDescriptor, receive } from "../../os/index.js";
import type { IncomingMessage } from "../../virtio/vhost-user/index.js";
import type { Intake, KeptFile } from "./kept-file.js";
import type { Shelf } from "./shelf.js";

/**
 * A message that is received once, whenever the processes die that do it: its bytes into the kept file, its
 * descriptors by way of the shelf.
 *
 * Descriptors that are received lie in this process alone, so they are kept before: a peek (MSG_PEEK) at the
 * message's first byte brings duplicates of them. But where the byte has none, Linux goes on to the next message
 * that is queued, until one has some. So what a peek brought belongs to the message only where the kernel notes
 * that descriptors came with the byte itself, as that is received.
 */
export class KeptMessage implements IncomingMessage {
  readonly bytes: Buffer;
  readonly #fd: number;
  readonly #file: KeptFile;
  readonly #shelf: Shelf;
  #intake: Intake;
  #descriptors: number[] = [];
  #names: ReadonlyMap<number, string> = new Map();

  /**
   * The message behind `sequence` others, as far as a former process had it. Takes what is its own out of `kept`,
   * the shelf's entries.
   */
  constructor(
    fd: number,
    file: KeptFile,
    shelf: Shelf,
    sequence: number,
    kept: Map<string, number[]>,
  ) {
    this.bytes = file.message;
    this.#fd = fd;
    this.#file = file;
    this.#shelf = shelf;
    const { intake } = file;
    this.#intake = intake.sequence === sequence ? intake : startOf(sequence);
    if (this.#intake.hasDescriptors) {
      this.#descriptors = kept.get(this.#key) ?? [];
      kept.delete(this.#key);
    }
  }

  get filled(): number {
    return this.#intake.filled;
  }

  receive(end: number): number | undefined {
    if (this.#intake.filled > 0) return this.#receive(end);
    this.close();
    const first = receive(this.#fd, 1, "peek");
    if (first === undefined || first.bytes.length === 0) return first?.bytes.length;
    if (first.descriptors.length === 0) return this.#receive(end);
    this.#descriptors = first.descriptors;
    this.#shelf.put(this.#key, first.descriptors);
    // The byte alone: descriptors that come with another one aren't the message's.
    const count = this.#receive(1);
    if (!this.#intake.hasDescriptors) this.close();
    return count;
  }

  takeDescriptors(): number[] {
    const descriptors = this.#descriptors.splice(0);
    this.#names = new Map(descriptors.map((fd, i) => [fd, `${this.#key}#${i}`]));
    return descriptors;
  }

  /** Where on the shelf a descriptor lies that takeDescriptors() gave last; undefined for any other. */
  nameOf(fd: number): string | undefined {
    return this.#names.get(fd);
  }

  /** Begins with the next message, behind `sequence` others. */
  begin(sequence: number): void {
    this.#intake = startOf(sequence);
  }

  /** Closes its descriptors in this process. */
  close(): void {
    for (const fd of this.#descriptors.splice(0)) closeDescriptor(fd);
  }

  get #key(): string {
    return String(this.#intake.sequence);
  }

  #receive(end: number): number | undefined {
    const { filled } = this.#intake;
    if (!this.#file.receive(this.#fd, this.#intake, end)) return undefined;
    this.#intake = this.#file.intake;
    return this.#intake.filled - filled;
  }
}

const startOf = (sequence: number): Intake => ({ sequence, filled: 0, hasDescriptors: false });
