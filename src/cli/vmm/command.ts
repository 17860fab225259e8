/** A VMM's command line with the device added. */
export interface VmmCommand {
  readonly command: string;
  readonly args: readonly string[];
}

/** How `run` adds a device to a VMM's command line. */
export interface Vmm {
  /** For messages. */
  readonly name: string;
  /**
   * Throws UserError where this VMM or its command line doesn't allow a device to be added. May take
   * seconds, during which signals aren't heard.
   */
  check(command: string, args: readonly string[]): void;
  /** The command with the device behind `socketPath` added, and nothing else. */
  addDevice(command: string, args: readonly string[], socketPath: string): VmmCommand;
}
