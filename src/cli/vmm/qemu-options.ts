import { UserError } from "../../service/errors.js";

/** The properties of an option's value, as text. */
export type Properties = ReadonlyMap<string, string>;

/** The values of an option that QEMU takes with one or two dashes. */
export function values(args: readonly string[], ...names: readonly string[]): string[] {
  return args.flatMap((arg, i) => {
    const value = args[i + 1];
    return value !== undefined && names.some((name) => arg === `-${name}` || arg === `--${name}`)
      ? [value]
      : [];
  });
}

export const has = (args: readonly string[], ...names: readonly string[]): boolean =>
  args.some((arg) => names.some((name) => arg === `-${name}` || arg === `--${name}`));

/** QEMU writes a comma within an option's value twice. */
export const escaped = (value: string): string => value.replaceAll(",", ",,");

/**
 * Reads `a=b,c=d`, of which the last counts where one is given twice. The first may stand without its
 * name, which is `implied`; others without a value are `on`.
 */
export function properties(value: string, implied: string): Properties {
  // No argument of a process has a zero byte in it.
  const parts = value.replaceAll(",,", "\0").split(",");
  return new Map(
    parts.map((part, i): [string, string] => {
      const text = part.replaceAll("\0", ",");
      const equals = text.indexOf("=");
      if (equals >= 0) return [text.slice(0, equals), text.slice(equals + 1)];
      return i === 0 ? [implied, text] : [text, "on"];
    }),
  );
}

/** Reads the value of `-object`, which may be JSON. */
export function objectProperties(value: string): Properties {
  if (!value.startsWith("{")) return properties(value, "qom-type");
  let parsed: unknown;
  try {
    parsed = JSON.parse(value);
  } catch {
    throw new UserError(
      `QEMU's -object ${value}: the JSON isn't understood; write it with double quotes, or as NAME=VALUE,…`,
    );
  }
  return new Map(
    Object.entries(parsed as Record<string, unknown>).map(([name, given]) => [
      name,
      given === true ? "on" : given === false ? "off" : String(given),
    ]),
  );
}
