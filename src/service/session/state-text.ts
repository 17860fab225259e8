import type { SessionState } from "../../virtio/vhost-user/index.js";

/** A text says its version. That of version 2 didn't. */
const VERSION = 3;

type Ring = SessionState["vrings"][number];

/** Version 2 had other names for what a ring's `baseCount` and `aheadOfUsed` are. */
interface State2 extends Omit<SessionState, "vrings"> {
  readonly version?: undefined;
  readonly vrings: readonly (Omit<Ring, "baseCount" | "aheadOfUsed"> & {
    readonly era: Ring["baseCount"];
    readonly ahead?: Ring["aheadOfUsed"];
  })[];
}

interface State3 extends SessionState {
  readonly version: typeof VERSION;
}

const BIGINT = /^([0-9]+)n$/;

/** A state as JSON, in which a bigint is a string such as `12n`: no name of a descriptor ends so. */
export function encodeState(state: SessionState): string {
  return JSON.stringify({ version: VERSION, ...state } satisfies State3, (_, value: unknown) =>
    typeof value === "bigint" ? `${value}n` : value,
  );
}

/** What encodeState() made of a state, in this version or the one before. */
export function decodeState(text: string): SessionState {
  const state = JSON.parse(text, (_, value: unknown) => {
    const [, digits] = typeof value === "string" ? (BIGINT.exec(value) ?? []) : [];
    return digits === undefined ? value : BigInt(digits);
  }) as State2 | State3;
  if (state.version !== undefined) return state;
  const vrings = state.vrings.map(({ era, ahead, ...ring }) => {
    return { ...ring, baseCount: era, aheadOfUsed: ahead };
  });
  return { ...state, vrings };
}
