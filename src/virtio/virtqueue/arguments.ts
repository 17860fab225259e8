/** A caller's argument that can't be used: the message names it, and says what it must be and what it is. */
export class ArgumentError extends TypeError {
  readonly code = "WRONG_ARGUMENT";
}

/** Throws ArgumentError where `holds` is false. `name` is as the caller wrote it: `options.socketPath`. */
export function expectArgument(
  holds: boolean,
  name: string,
  value: unknown,
  expected: string,
): void {
  if (!holds) throw new ArgumentError(`${name} must be ${expected}, not ${describe(value)}`);
}

export function expectFunction(value: unknown, name: string): void {
  expectArgument(typeof value === "function", name, value, "a function");
}

/** As an object, of which properties are then looked at. */
export function expectObject(value: unknown, name: string): void {
  expectArgument(typeof value === "object" && value !== null, name, value, "an object");
}

/** What a message of vhost-user can hold: whether virtio allows it is another question. */
export const MAX_U32 = 0xffff_ffff;

/** As a number without a fraction, within bounds. */
export function expectNumber(value: unknown, name: string, least: number, most: number): void {
  const isBetween = Number.isInteger(value) && Number(value) >= least && Number(value) <= most;
  expectArgument(isBetween, name, value, `a whole number from ${least} to ${most}`);
}

export function expectBigint(value: unknown, name: string): void {
  expectArgument(typeof value === "bigint", name, value, "a bigint");
}

function describe(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return "a function";
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" && value !== null ? "an object" : String(value);
}
