import type { SessionState } from "../../virtio/vhost-user/index.js";

const BIGINT = /^([0-9]+)n$/;

/** A state as JSON, in which a bigint is a string such as `12n`: no name of a descriptor ends so. */
export function encodeState(state: SessionState): string {
  return JSON.stringify(state, (_, value: unknown) =>
    typeof value === "bigint" ? `${value}n` : value,
  );
}

/** What encodeState() made of a state. */
export function decodeState(text: string): SessionState {
  return JSON.parse(text, (_, value: unknown) => {
    const [, digits] = typeof value === "string" ? (BIGINT.exec(value) ?? []) : [];
    return digits === undefined ? value : BigInt(digits);
  }) as SessionState;
}
