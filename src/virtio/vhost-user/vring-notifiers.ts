import { closeDescriptor, type Share, setNonBlocking, signal, watchKicks } from "../../os/index.js";
import type { DescriptorName } from "./session-state.js";

/** What notifiers need of the session that their vring belongs to. */
export interface VringNotifiersOwner {
  readonly loop: Share;
  /** A name for a descriptor that came with the message that is handled. */
  nameOf(fd: number): DescriptorName;
}

interface NamedDescriptor {
  readonly fd: number;
  readonly name: DescriptorName;
}

/** A vring's kick, call and error descriptors. */
export class VringNotifiers {
  readonly #owner: VringNotifiersOwner;
  readonly #onKick: () => void;
  #kick: NamedDescriptor | undefined;
  #call: NamedDescriptor | undefined;
  #err: NamedDescriptor | undefined;

  constructor(owner: VringNotifiersOwner, onKick: () => void) {
    this.#owner = owner;
    this.#onKick = onKick;
  }

  setKick(fd: number | undefined): void {
    if (this.#kick !== undefined) {
      this.#owner.loop.unwatch(this.#kick.fd);
      closeDescriptor(this.#kick.fd);
      this.#kick = undefined;
    }
    this.#kick = this.#named(fd);
    if (fd === undefined) return;
    setNonBlocking(fd);
    watchKicks(this.#owner.loop, fd, this.#onKick);
  }

  setCall(fd: number | undefined): void {
    if (this.#call !== undefined) closeDescriptor(this.#call.fd);
    this.#call = this.#named(fd);
    if (fd !== undefined) setNonBlocking(fd);
  }

  setErr(fd: number | undefined): void {
    if (this.#err !== undefined) closeDescriptor(this.#err.fd);
    this.#err = this.#named(fd);
    if (fd !== undefined) setNonBlocking(fd);
  }

  /** Tells the driver that chains were given back, where it has a descriptor for that. */
  call(): void {
    if (this.#call !== undefined) signal(this.#call.fd);
  }

  /** Tells the front-end that the ring is broken, likewise. */
  err(): void {
    if (this.#err !== undefined) signal(this.#err.fd);
  }

  /** The names under which the descriptors are kept. */
  get names(): { readonly [name in "kick" | "call" | "err"]: DescriptorName | undefined } {
    return { kick: this.#kick?.name, call: this.#call?.name, err: this.#err?.name };
  }

  #named(fd: number | undefined): NamedDescriptor | undefined {
    return fd === undefined ? undefined : { fd, name: this.#owner.nameOf(fd) };
  }
}
