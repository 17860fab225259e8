import { closeDescriptor, receive } from "../../os/index.js";
import type { IncomingMessage } from "../../virtio/vhost-user/index.js";
import type { DescriptorQueue } from "./descriptor-queue.js";
import type { MessageProgress, SessionFile } from "./session-file.js";

/**
 * A message that is received once, whenever the processes die that do it: its bytes into the session's file, its
 * descriptors by way of the queue.
 *
 * Descriptors that are received lie in this process alone, so they are put into the queue before: a peek (MSG_PEEK) at the
 * message's first byte brings duplicates of them. But where the byte has none, Linux goes on to the next message
 * that is queued, until one has some. So what a peek brought belongs to the message only where the kernel notes
 * that descriptors came with the byte itself, as that is received.
 */
export class PersistentMessage implements IncomingMessage {
  readonly bytes: Buffer;
  readonly #fd: number;
  readonly #file: SessionFile;
  readonly #queue: DescriptorQueue;
  #progress: MessageProgress;
  #descriptors: number[] = [];
  #names: ReadonlyMap<number, string> = new Map();

  /**
   * The message behind `sequence` others, as far as a former process had it. Takes what is its own out of `entries`,
   * the queue's.
   */
  constructor(
    fd: number,
    file: SessionFile,
    queue: DescriptorQueue,
    sequence: number,
    entries: Map<string, number[]>,
  ) {
    this.bytes = file.message;
    this.#fd = fd;
    this.#file = file;
    this.#queue = queue;
    const { progress } = file;
    this.#progress = progress.sequence === sequence ? progress : startOf(sequence);
    if (this.#progress.hasDescriptors) {
      this.#descriptors = entries.get(this.#key) ?? [];
      entries.delete(this.#key);
    }
  }

  get filled(): number {
    return this.#progress.filled;
  }

  receive(end: number): number | undefined {
    if (this.#progress.filled > 0) return this.#receive(end);
    this.close();
    const first = receive(this.#fd, 1, "peek");
    if (first === undefined || first.bytes.length === 0) return first?.bytes.length;
    if (first.descriptors.length === 0) return this.#receive(end);
    this.#descriptors = first.descriptors;
    this.#queue.put(this.#key, first.descriptors);
    // The byte alone: descriptors that come with another one aren't the message's.
    const count = this.#receive(1);
    if (!this.#progress.hasDescriptors) this.close();
    return count;
  }

  takeDescriptors(): number[] {
    const descriptors = this.#descriptors.splice(0);
    this.#names = new Map(descriptors.map((fd, i) => [fd, `${this.#key}#${i}`]));
    return descriptors;
  }

  /** The name in the queue of a descriptor that takeDescriptors() gave last; undefined for any other. */
  nameOf(fd: number): string | undefined {
    return this.#names.get(fd);
  }

  /** Begins with the next message, behind `sequence` others. */
  begin(sequence: number): void {
    this.#progress = startOf(sequence);
  }

  /** Closes its descriptors in this process. */
  close(): void {
    for (const fd of this.#descriptors.splice(0)) closeDescriptor(fd);
  }

  get #key(): string {
    return String(this.#progress.sequence);
  }

  #receive(end: number): number | undefined {
    const { filled } = this.#progress;
    if (!this.#file.receive(this.#fd, this.#progress, end)) return undefined;
    this.#progress = this.#file.progress;
    return this.#progress.filled - filled;
  }
}

const startOf = (sequence: number): MessageProgress => ({
  sequence,
  filled: 0,
  hasDescriptors: false,
});
